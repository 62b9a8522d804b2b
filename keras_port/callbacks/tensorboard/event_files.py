"""Event files that hold every step once, even after a killed training."""

from collections.abc import Iterator
import pathlib

import tensorflow as tf

from keras_port.checkpoints import atomic_file

# Ends the names of this package's files, to distinguish them from others.
SUFFIX = ".keras_port.v2"
# Bytes around a record: its length and two checksums.
FRAME = 16


def make_room(log_dir: pathlib.Path, step: int, *, overwrite: bool) -> bool:
    """Removes earlier curves that a training would write again.

    A training that continues keeps the curves up to its step. A training that
    starts keeps none, and removes those of another run only with `overwrite`.

    Args:
        log_dir: Directory that holds the directories of the runs.
        step: Number of updates that the model has had.
        overwrite: Whether another run may be removed.

    Returns:
        Whether a run starts here, that is, none of it was written before.

    Raises:
        ValueError: If the directory holds another run.
    """
    directories = [
        directory
        for directory in [log_dir, *sorted(log_dir.iterdir())]
        if event_files(directory)
    ]
    for directory in directories:
        if step == 0:
            remove_other_run(directory, overwrite=overwrite)
        else:
            keep_steps(directory, step)
    return step == 0 or not directories


def remove_other_run(directory: pathlib.Path, *, overwrite: bool) -> None:
    """Removes all curves in the directory of a run, or raises `ValueError`."""
    last = get_last_step(directory)
    if last and not overwrite:
        raise ValueError(
            f"{directory} holds curves up to step {last}, but "
            "the model starts at step 0: two runs would be mixed. Choose "
            "another `log_dir`, restore the model first to continue that "
            "run, or pass `overwrite=True` to remove its curves."
        )
    if overwrite:
        for path in event_files(directory):
            path.unlink()


def keep_steps(directory: pathlib.Path, step: int) -> None:
    """Removes the steps later than `step` from the directory of a run.

    A killed run has written more steps than its snapshot holds, and will write
    them again. A record that the kill has cut off is removed as well. A file
    with nothing to remove is left alone, because another process may be
    writing to it.

    Args:
        directory: Directory of one run, with its event files.
        step: Last step to keep.
    """
    for path in event_files(directory):
        kept = [
            record
            for record, event in events(path)
            if event.step <= step or not event.HasField("summary")
        ]
        if path.stat().st_size == sum(len(r) + FRAME for r in kept):
            continue
        with (
            atomic_file(path) as partial,
            tf.io.TFRecordWriter(str(partial)) as writer,
        ):
            for record in kept:
                writer.write(record)


def get_last_step(directory: pathlib.Path) -> int | None:
    """Returns the last step in a run's directory, `None` without events."""
    steps = [
        event.step
        for path in event_files(directory)
        for _, event in events(path)
        if event.HasField("summary")
    ]
    return max(steps, default=None)


def event_files(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns the event files of this package, the oldest first.

    Other programs' files may have steps of their own, and may be open.
    """
    if not directory.is_dir():
        return []
    # TensorFlow puts the creation time into the name of every file.
    return sorted(directory.glob(f"events.out.tfevents.*{SUFFIX}"))


def events(
    path: pathlib.Path,
) -> Iterator[tuple[bytes, tf.compat.v1.Event]]:
    """Yields the complete records of an event file and their events."""
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    while True:
        try:
            record = next(records)
        except (StopIteration, tf.errors.DataLossError):
            return  # The end, or a record that a killed process left cut off.
        yield record, tf.compat.v1.Event.FromString(record)
