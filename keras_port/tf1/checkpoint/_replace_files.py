"""Replaces the four files of a checkpoint as a set."""

from collections.abc import Iterator
import contextlib
import os
import pathlib

import tensorflow as tf

from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import partial_directory
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
    If the block writes no `.meta`, an old one, which would be that of other
    values, is removed.
    """
    folder = make_writable_directory(prefix.parent)
    names = [f"{prefix.name}{suffix}" for suffix in _SUFFIXES]
    try:
        with partial_directory(prefix) as partial:
            yield partial / prefix.name
            written = [
                name
                for name in [*names, "checkpoint"]
                if (partial / name).exists()
            ]
            for name in written:
                sync(partial / name)
            for name in [*names, "checkpoint"]:
                if name in written:
                    os.replace(partial / name, folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
            sync(folder)
    except (OSError, tf.errors.OpError) as error:
        # TensorFlow's reason follows the name of the partial file.
        reason = (
            error.strerror or str(error)
            if isinstance(error, OSError)
            else first_line(error).rpartition("; ")[2]
        )
        raise OSError(
            f"{prefix} could not be written: {reason}. Free disk space, or "
            "choose another folder."
        ) from error
