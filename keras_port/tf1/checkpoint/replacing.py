"""The four files of a checkpoint, replaced as a set."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil

import tensorflow as tf

from keras_port.checkpoints.atomic_file import PARTIAL
from keras_port.checkpoints.atomic_file import is_written
from keras_port.checkpoints.atomic_file import sync
from keras_port.checkpoints.writable_folder import make_writable_folder
from keras_port.tf1.checkpoint.files import first_line

# In this order they take their places: until the new `.index` is there, the
# old one fails its checksums against the new data, and nothing is mixed up.
SUFFIXES = (".data-00000-of-00001", ".meta", ".index")


@contextlib.contextmanager
def replaced_files(prefix: pathlib.Path) -> Iterator[pathlib.Path]:
    """Replaces the four files of a checkpoint by those the block writes.

    The block writes beside, under the prefix it is given. `checkpoint` comes
    last, so that it never names files that are not there.
    """
    folder = make_writable_folder(prefix.parent)
    remove_leftover_folders(folder, prefix.name)
    beside = folder / f".partial-{os.getpid()}-{prefix.name}"
    try:
        beside.mkdir()
        yield beside / prefix.name
        names = [f"{prefix.name}{suffix}" for suffix in SUFFIXES]
        for name in [*names, "checkpoint"]:
            sync(beside / name)
        for name in [*names, "checkpoint"]:
            os.replace(beside / name, folder / name)
        sync(folder)
    except tf.errors.OpError as error:
        # Behind the name of the partial file.
        reason = first_line(error).rpartition("; ")[2]
        raise OSError(
            f"{prefix} could not be written: {reason}. Free the disk, or "
            "choose another folder."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_leftover_folders(folder: pathlib.Path, name: str) -> None:
    """Removes what killed processes left when they wrote this checkpoint."""
    for entry in folder.iterdir():
        found = PARTIAL.fullmatch(entry.name)
        if (
            found
            and found["name"] == name
            and entry.is_dir()
            and not is_written(entry, int(found["pid"]))
        ):
            shutil.rmtree(entry, ignore_errors=True)
