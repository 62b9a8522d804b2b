"""Paths on this machine's disk, checked before anything is written."""

import os
import pathlib
import re

# A `pathlib.Path` has already made one slash of the two. Two characters or
# more, because one letter is a drive of Windows.
SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/")


def local_path(name: str, path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path of a file or directory, with `~` expanded.

    Python's files know no buckets: for `gs://bucket/run` they would create a
    directory named `gs:` in the working directory, and the results would be
    lost with the machine.

    Args:
        name: Name of the caller's argument, for the error messages.
        path: What the user passed.

    Raises:
        TypeError: If `path` is not a string or a path object.
        ValueError: If `path` is empty, has a scheme such as `gs://`, or starts
            with the `~` of an unknown user.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(
            f"`{name}` must be a path, as a string or a `pathlib.Path`. "
            f"Received: {name}={path!r}"
        )
    if not text:
        raise ValueError(
            f"`{name}` must not be empty. Pass '.' for the working directory. "
            f"Received: {name}={path!r}"
        )
    if found := SCHEME.match(text):
        raise ValueError(
            f"`{name}` must be a path on this machine's disk, and "
            f"{found['scheme']}:// is not one. Received: {name}={text!r}. Use "
            "a local path and copy the files, or mount the remote storage as "
            "a directory."
        )
    try:
        return pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"The home directory in {name}={text!r} cannot be determined. "
            "Write the whole path. A directory whose name starts with `~` is "
            "`./~...`."
        ) from error


def absolute_path(name: str, path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the path as `local_path` does, from the root of the disk.

    For what writes again and again: a program may change its working directory
    in between, and would write to another one.

    Args:
        name: Name of the caller's argument, for the error messages.
        path: What the user passed.

    Raises:
        TypeError: As for `local_path`.
        ValueError: As for `local_path`.
    """
    return local_path(name, path).absolute()
