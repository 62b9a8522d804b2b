"""Event files that hold every step once, even after a killed training."""

from collections.abc import Iterator
import pathlib
import re
import time

from absl import logging
import tensorflow as tf

from keras_port._support import is_regular_file
from keras_port.callbacks.tensorboard.event_records import FRAME
from keras_port.callbacks.tensorboard.event_records import Gap
from keras_port.callbacks.tensorboard.event_records import read_event_file
from keras_port.checkpoints import atomic_file
from keras_port.checkpoints import remove_leftovers

# Ends the names of this package's files, to distinguish them from others.
SUFFIX = ".keras_port.v2"
# TensorFlow puts the time in seconds into the name of every file.
NAME = re.compile(r"(events\.out\.tfevents\.)([0-9]{10})(\..*)")


def make_room(
    log_dir: pathlib.Path,
    step: int,
    *,
    overwrite: bool,
) -> bool:
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
        # Of every name: some files are written only once.
        remove_leftovers(directory, bool)
        if step == 0:
            remove_other_run(directory, overwrite=overwrite)
        else:
            keep_steps(directory, step)
        put_before_now(directory)
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
    writing to it. A damaged file is reported, with the points that are lost.

    Args:
        directory: Directory of one run, with its event files.
        step: Last step to keep.
    """
    for path in event_files(directory):
        file = read_event_file(path)
        kept = [
            record
            for record, event in file.records
            if event.step <= step or not event.HasField("summary")
        ]
        for gap in file.gaps:
            report_gap(path, gap, step)
        if file.size == sum(len(r) + FRAME for r in kept):
            continue
        with (
            atomic_file(path) as partial,
            tf.io.TFRecordWriter(str(partial)) as writer,
        ):
            for record in kept:
                writer.write(record)


def report_gap(path: pathlib.Path, gap: Gap, step: int) -> None:
    """Says which points are lost, unless they will be written again.

    Args:
        path: The event file.
        gap: The place that cannot be read.
        step: Step at which the training continues.
    """
    if gap.after >= step:
        return
    until = f"step {gap.before} are" if gap.before else f"step {step} may be"
    logging.warning(
        "%s is damaged at byte %d: points of its curves after step %d and "
        "before %s lost. The training itself is complete, and continues.",
        path,
        gap.offset,
        gap.after,
        until,
    )


def put_before_now(directory: pathlib.Path) -> None:
    """Renames event files so that a new one sorts after them.

    TensorBoard reads the files of a run in the order of their names, which
    begin with the time. After a clock was set back, or within the same second,
    a new file would be read before the ones that exist.

    Args:
        directory: Directory of one run.
    """
    limit = int(time.time()) - 1
    for path in reversed(event_files(directory)):
        found = NAME.fullmatch(path.name)
        if found is None or int(found[2]) <= limit:
            return
        renamed = f"{found[1]}{limit:010d}{found[3]}"
        path.rename(path.with_name(renamed))
        limit -= 1


def get_last_step(directory: pathlib.Path) -> int | None:
    """Returns the last step in a run's directory, `None` without events."""
    steps = [
        event.step
        for path in event_files(directory)
        for _, event in read_event_file(path).records
        if event.HasField("summary")
    ]
    return max(steps, default=None)


def event_files(directory: pathlib.Path) -> list[pathlib.Path]:
    """Returns the event files of this package, the oldest first.

    Other programs' files may have steps of their own, and may be open.
    """
    if not directory.is_dir():
        return []
    found = sorted(directory.glob(f"events.out.tfevents.*{SUFFIX}"))
    return [path for path in found if is_regular_file(path)]


def events(
    path: pathlib.Path,
) -> Iterator[tuple[bytes, tf.compat.v1.Event]]:
    """Yields the complete records of an event file and their events."""
    yield from read_event_file(path).records
