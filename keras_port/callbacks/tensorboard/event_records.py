"""Reads the records of an event file, also of one that is damaged."""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import pathlib
from typing import BinaryIO

import tensorflow as tf

from keras_port._support import mask_checksum
from keras_port._support import open_file

# Bytes around a record: its length and two checksums.
FRAME = 16
# Bytes before it: its length, and the checksum of that.
HEADER = 12


@dataclasses.dataclass(frozen=True)
class Gap:
    """A place of an event file that cannot be read.

    Args:
        offset: Where it begins, in bytes.
        after: Step of the record before it, 0 without one.
        before: Step of the record after it, `None` without one.
    """

    offset: int
    after: int
    before: int | None


@dataclasses.dataclass(frozen=True)
class EventFile:
    """The content of an event file.

    Args:
        records: What can be read, every record as bytes and as an event.
        gaps: What cannot.
        size: Bytes of the file.
    """

    records: list[tuple[bytes, tf.compat.v1.Event]]
    gaps: list[Gap]
    size: int


def read_event_file(path: pathlib.Path) -> EventFile:
    """Reads all records of an event file that are as they were written.

    TensorFlow's reader stops at the first damaged record, and allocates the
    length that the file claims. So the lengths are checked first, and after a
    damaged record the reading goes on.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is a pipe, a device or a directory.
    """
    records: list[tuple[bytes, tf.compat.v1.Event]] = []
    gaps: list[Gap] = []
    damaged: int | None = None
    last = 0
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        for offset, record in read_records(path, file, size):
            event = None if record is None else parse_event(record)
            if record is None or event is None:
                damaged = offset if damaged is None else damaged
                continue
            if damaged is not None:
                gaps.append(Gap(damaged, last, event.step))
                damaged = None
            last = event.step
            records.append((record, event))
    if damaged is not None:
        gaps.append(Gap(damaged, last, None))
    return EventFile(records, gaps, size)


def read_records(
    path: pathlib.Path, file: BinaryIO, size: int
) -> Iterator[tuple[int, bytes | None]]:
    """Yields the records of a file of TFRecords, and where they begin.

    Args:
        path: The file.
        file: The same, open.
        size: Its size in bytes.

    Yields:
        The offset and the record, `None` for one that is damaged. Nothing
        follows a length that is damaged.
    """
    frames, end = find_frames(file, size)
    records: list[bytes] = []
    if end == size:
        # Verifies the checksums much faster than Python does.
        with contextlib.suppress(tf.errors.OpError):
            for record in tf.data.TFRecordDataset(str(path)):
                records.append(record.numpy())
    are_whole = len(records) == len(frames)
    for index, (offset, length) in enumerate(frames):
        if are_whole:
            yield offset, records[index]
            continue
        file.seek(offset + HEADER)
        record, checksum = file.read(length), file.read(FRAME - HEADER)
        yield offset, record if mask_checksum(record) == checksum else None
    if end < size:
        yield end, None


def find_frames(file: BinaryIO, size: int) -> tuple[list[tuple[int, int]], int]:
    """Returns the offset and the length of every record, and where they end.

    Args:
        file: A file of TFRecords.
        size: Its size in bytes.

    Returns:
        The records, and the offset after the last one, less than `size` if a
        record is cut off or its length is damaged.
    """
    frames = []
    offset = 0
    while size - offset >= FRAME:
        file.seek(offset)
        header = file.read(HEADER)
        length = int.from_bytes(header[:8], "little")
        if mask_checksum(header[:8]) != header[8:]:
            break
        if length > size - offset - FRAME:
            break
        frames.append((offset, length))
        offset += length + FRAME
    return frames, offset


def parse_event(record: bytes) -> tf.compat.v1.Event | None:
    """Returns the event in a record, `None` if it holds something else."""
    try:
        return tf.compat.v1.Event.FromString(record)
    # protobuf's DecodeError has no types and no closer public base class.
    except Exception:  # noqa: BLE001
        return None
