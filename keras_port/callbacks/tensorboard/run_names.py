"""The names of the runs: whose curves lie in which folder."""

import pathlib

import keras

from keras_port.callbacks.evaluation_listener import channel_of

TRAIN = "train"
VALIDATION = "validation"


def run_of(source: str) -> str:
    """Returns the run's folder for an evaluation's name."""
    return VALIDATION if source == "val" else source


def sources_of(model: keras.Model) -> list[str]:
    """Returns the names of the evaluations of the model's `fit`."""
    return [str(source.prefix) for source in channel_of(model).sources]


def source_of(model: keras.Model, result: str) -> str:
    """Returns the name of the evaluation that a result is of."""
    names = sources_of(model)
    return max((n for n in names if result.startswith(f"{n}_")), key=len)


def pages_run(model: keras.Model) -> str:
    """Returns the run that the pictures belong to, the first evaluation."""
    names = sources_of(model)
    return run_of(names[0]) if names else VALIDATION


def check_own_folders(model: keras.Model, log_dir: pathlib.Path) -> None:
    """Raises `ValueError` if two of the runs would share a folder.

    Args:
        model: The model in training, which knows its evaluations.
        log_dir: Folder that holds the runs' folders.
    """
    runs = [TRAIN, *(run_of(source) for source in sources_of(model))]
    for run in runs:
        if runs.count(run) > 1:
            raise ValueError(
                f"The curves of an evaluation would be mixed with others in "
                f"{log_dir / run}. Give its `StepEvaluation` another `name`."
            )
