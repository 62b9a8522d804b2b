"""The runs of a log directory: their names, and the writers of their files."""

import pathlib

import keras
import tensorflow as tf

from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.callbacks.tensorboard.event_files import SUFFIX

TRAIN = "train"
VALIDATION = "validation"


class RunWriters:
    """Creates the writer of every run when it is first needed.

    Args:
        log_dir: Directory that holds the directories of the runs.
    """

    def __init__(self, log_dir: pathlib.Path) -> None:
        self.log_dir = log_dir
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def get(self, run: str) -> tf.summary.SummaryWriter:
        """Returns the writer of a run."""
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(
                str(self.log_dir / run), filename_suffix=SUFFIX
            )
        return self._writers[run]

    def flush(self) -> None:
        """Writes everything to disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Closes all writers."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def get_run_name(prefix: str) -> str:
    """Returns the run for the evaluation with a prefix."""
    return VALIDATION if prefix == "val" else prefix


def list_prefixes(model: keras.Model) -> list[str]:
    """Returns the prefixes of the evaluations in the model's `fit`."""
    return [str(source.prefix) for source in get_channel(model).sources]


def find_prefix(model: keras.Model, result: str) -> str:
    """Returns the prefix of the evaluation that has produced a result."""
    prefixes = list_prefixes(model)
    return max((p for p in prefixes if result.startswith(f"{p}_")), key=len)


def get_pages_run(model: keras.Model) -> str:
    """Returns the run for the pictures, that of the first evaluation."""
    prefixes = list_prefixes(model)
    return get_run_name(prefixes[0]) if prefixes else VALIDATION


def get_fit_run(model: keras.Model) -> str:
    """Returns the run for the validation by `fit` itself.

    A `StepEvaluation` may have taken the usual one by its prefix.
    """
    taken = [get_run_name(prefix) for prefix in list_prefixes(model)]
    return f"epoch_{VALIDATION}" if VALIDATION in taken else VALIDATION


def check_run_names(model: keras.Model, log_dir: pathlib.Path) -> None:
    """Raises `ValueError` if two runs would share a directory.

    Args:
        model: The model in training, through which its evaluations are found.
        log_dir: Directory that holds the directories of the runs.
    """
    runs = [TRAIN, *(get_run_name(prefix) for prefix in list_prefixes(model))]
    for run in runs:
        if runs.count(run) > 1:
            raise ValueError(
                f"The curves of an evaluation would be mixed with others in "
                f"{log_dir / run}. Give its `StepEvaluation` another `prefix`."
            )
