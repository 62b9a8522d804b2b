"""Directories that are known to be writable before a training starts."""

import os
import pathlib
import tempfile

from keras_port._support import local_path


def make_writable_directory(directory: str | os.PathLike[str]) -> pathlib.Path:
    """Creates a directory and checks that a file can be written to it.

    Args:
        directory: Path of the directory; its parents are created as well. `~`
            is your home directory.

    Returns:
        The path of the directory.

    Raises:
        OSError: If the directory cannot be created or written to, with the
            reason and what to do.
        ValueError: If `directory` is empty or a bucket such as `gs://`.

    Example:

    >>> make_writable_directory("runs/cnn").name
    'cnn'
    """
    path = local_path("directory", directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # By writing a file: permissions do not show that a disk is full or
        # read-only.
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise OSError(
            f"{path} cannot be written to: {error.strerror}. Choose another "
            "directory, or fix its permissions or free disk space."
        ) from error
    return path
