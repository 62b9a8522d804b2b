"""The folder of a run: whose it is, and what the run has given."""

import dataclasses
import json
import pathlib
from typing import Any

import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
from run_files import LOG_FOLDER
from run_files import MODEL_FILE
from run_files import RESULTS_FILE
from run_files import RUN_FILE
from run_files import STATE_FOLDER
from run_files import read_json
from run_files import write_json
from run_settings import Settings

from keras_port import checkpoints


@dataclasses.dataclass(frozen=True)
class Results:
    """What one training has given; the content of `results.json`.

    Args:
        steps: Updates of the weights.
        best_step: Step with the best validation accuracy.
        validation_accuracy: With the weights of that step.
        test_accuracy: With the same weights.
        seconds: Wall time of the training call; of the last one, if the run
            was resumed.
        examples_per_second: Training examples since the first step, with
            validation, saving and logging in the time.
        dataset: Where the images came from.
        ended_by: "early stopping", "max_steps", or the name of a signal.
    """

    steps: int
    best_step: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    examples_per_second: float
    dataset: str
    ended_by: str

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.ended_by in ("early stopping", "max_steps")


def finished_results(settings: Settings, **more: Any) -> Results | None:
    """Prepares the folder of a run, and refuses one that holds another.

    Args:
        settings: Of this run.
        **more: Further values that make it another run, such as the script.

    Returns:
        The results, if the run has nothing left to do, otherwise `None`.

    Raises:
        ValueError: If the folder holds a run with other settings, or files
            that no run of this package has left.
        OSError: If the folder cannot be written to.
    """
    run = {**dataclasses.asdict(settings), **more}
    # These may differ when a run goes on.
    for name in ("workdir", "max_steps", "save_freq", "mmap"):
        del run[name]
    run = json.loads(json.dumps(run, default=str))
    workdir = settings.workdir
    checkpoints.make_writable_folder(workdir)
    run_file = workdir / RUN_FILE
    if not run_file.exists():
        check_free(workdir)
        write_json(run_file, run)
        return None
    check_same_run(read_json(run_file), run, workdir)
    if not (workdir / RESULTS_FILE).exists():
        return None
    results = Results(**read_json(workdir / RESULTS_FILE))
    longer = settings.max_steps > results.steps
    if not results.finished or (results.ended_by == "max_steps" and longer):
        return None
    return results


def check_free(workdir: pathlib.Path) -> None:
    """Raises `ValueError` if a run would write over somebody's files."""
    names = (MODEL_FILE, RESULTS_FILE, STATE_FOLDER, LOG_FOLDER)
    there = [name for name in names if (workdir / name).exists()]
    if there:
        raise ValueError(
            f"{workdir} holds {', '.join(there)}, but no {RUN_FILE} that says "
            "which run they belong to. Choose another --workdir, or move them."
        )


def check_same_run(
    found: dict[str, Any], wanted: dict[str, Any], workdir: pathlib.Path
) -> None:
    """Raises `ValueError` if the folder holds a run with other settings."""
    differing = [
        f"{name} {found.get(name)} there, {wanted.get(name)} here"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(
            f"{workdir} holds another run ({'; '.join(differing)}). Choose "
            "another --workdir, or give the flags of that run to resume it."
        )


def summary(results: Results) -> str:
    """Returns the last line of a script."""
    return (
        f"Ended by {results.ended_by} at step {results.steps:,} after "
        f"{results.seconds:,.0f} s ({results.examples_per_second:,.0f} "
        f"examples/s). Best at step {results.best_step:,}: validation "
        f"accuracy {results.validation_accuracy:.4f}, test accuracy "
        f"{results.test_accuracy:.4f}."
        + ("" if results.finished else " The same command goes on.")
    )
