"""Event files that hold each step once, also after a kill."""

from collections.abc import Iterator
import pathlib

import tensorflow as tf

from keras_port.checkpoints.atomic_file import atomic_file

# Ends the names of this package's files, to tell them from those of others.
SUFFIX = ".keras_port.v2"
# Bytes around a record: its length, and two checksums.
FRAME = 16


def event_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns our event files in a run's folder, the oldest first.

    Those of others may have steps of their own, and be open.
    """
    if not folder.is_dir():
        return []
    # TensorFlow puts the time of its making into the name of each file.
    return sorted(folder.glob(f"events.out.tfevents.*{SUFFIX}"))


def last_step(folder: pathlib.Path) -> int | None:
    """Returns the last step in a run's folder, `None` without any event."""
    steps = [
        event.step
        for path in event_files(folder)
        for _, event in events(path)
        if event.HasField("summary")
    ]
    return max(steps, default=None)


def keep_steps(folder: pathlib.Path, step: int) -> None:
    """Removes what a run's folder holds of later steps than `step`.

    A run that was killed has written more steps than its snapshot holds, and
    will write these again. What a kill cut off in the middle goes, too. A file
    with nothing to remove is not touched: somebody may be writing into it.

    Args:
        folder: Folder of one run, with its event files.
        step: Last step that stays.
    """
    for path in event_files(folder):
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


def events(
    path: pathlib.Path,
) -> Iterator[tuple[bytes, tf.compat.v1.Event]]:
    """Yields the whole records of an event file and what they mean."""
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    while True:
        try:
            record = next(records)
        except (StopIteration, tf.errors.DataLossError):
            return  # The end, or what a killed process left unfinished.
        yield record, tf.compat.v1.Event.FromString(record)
