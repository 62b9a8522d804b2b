"""Replaces the four files of a checkpoint as a set."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil

import tensorflow as tf

from keras_port.checkpoints import PARTIAL
from keras_port.checkpoints import is_written
from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import sync
from keras_port.tf1._files import first_line

# Replaced in this order: until the new `.index` is there, the old one fails
# its checksums against the new data, so the two sets are never mixed.
_SUFFIXES = (".data-00000-of-00001", ".meta", ".index")


@contextlib.contextmanager
def replace_files(prefix: pathlib.Path) -> Iterator[pathlib.Path]:
    """Replaces the four files of a checkpoint with those the block writes.

    The block writes to a partial folder, with the prefix that it gets.
    `checkpoint` is replaced last, so it never names files that do not exist.
    """
    folder = make_writable_directory(prefix.parent)
    _remove_leftover_folders(folder, prefix.name)
    partial = folder / f".partial-{os.getpid()}-{prefix.name}"
    try:
        partial.mkdir()
        yield partial / prefix.name
        names = [f"{prefix.name}{suffix}" for suffix in _SUFFIXES]
        for name in [*names, "checkpoint"]:
            sync(partial / name)
        for name in [*names, "checkpoint"]:
            os.replace(partial / name, folder / name)
        sync(folder)
    except tf.errors.OpError as error:
        # The reason follows the name of the partial file.
        reason = first_line(error).rpartition("; ")[2]
        raise OSError(
            f"{prefix} could not be written: {reason}. Free disk space, or "
            "choose another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_leftover_folders(folder: pathlib.Path, name: str) -> None:
    """Removes the partial folders of killed processes for this checkpoint."""
    for entry in folder.iterdir():
        found = PARTIAL.fullmatch(entry.name)
        if (
            found
            and found["name"] == name
            and entry.is_dir()
            and not is_written(entry, int(found["pid"]))
        ):
            shutil.rmtree(entry, ignore_errors=True)
