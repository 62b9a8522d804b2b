"""Folders that are known to take files before a training begins."""

import os
import pathlib
import tempfile


def make_writable_folder(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Makes a folder and shows that a file can be written in it.

    Args:
        folder: The folder; those above it are made, too.

    Returns:
        The folder's path.

    Raises:
        OSError: If the folder cannot be made or written to, with the reason
            and what to do.

    Example:

    >>> make_writable_folder("runs/cnn").name
    'cnn'
    """
    path = pathlib.Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # By doing it: rights alone do not tell of a full or read-only disk.
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        raise OSError(
            f"{path} cannot be written to: {error.strerror}. Choose another "
            "folder, or mend its rights or its disk."
        ) from error
    return path
