"""What the folder of a run holds when a training begins."""

import pathlib

from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import keep_steps
from keras_port.callbacks.tensorboard.event_files import last_step


def make_room(log_dir: pathlib.Path, step: int, *, overwrite: bool) -> bool:
    """Removes the earlier curves that a training would write again.

    A training that goes on keeps those up to its step. One that begins keeps
    none, and refuses to remove those of another run unless it was told to.

    Args:
        log_dir: Folder that holds the runs' folders.
        step: Updates that the model has had.
        overwrite: Whether another run may be removed.

    Returns:
        Whether a run begins here: nothing of it has been written before.

    Raises:
        ValueError: If the folder holds another run.
    """
    folders = [
        folder
        for folder in [log_dir, *sorted(log_dir.iterdir())]
        if event_files(folder)
    ]
    for folder in folders:
        if step == 0:
            remove_another_run(folder, overwrite=overwrite)
        else:
            keep_steps(folder, step)
    return step == 0 or not folders


def remove_another_run(folder: pathlib.Path, *, overwrite: bool) -> None:
    """Removes all curves of a run's folder, or raises `ValueError`."""
    last = last_step(folder)
    if last and not overwrite:
        raise ValueError(
            f"{folder} holds curves up to step {last}, but "
            "the model begins at step 0: two runs would be mixed. Choose "
            "another `log_dir`, restore the model first to go on with that "
            "run, or give `overwrite=True` to remove its curves."
        )
    if overwrite:
        for path in event_files(folder):
            path.unlink()
