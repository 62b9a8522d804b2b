"""Files that are whole or not there, whenever the process is killed."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import re

# The process before the name, so that the suffix is that of the file.
PARTIAL = re.compile(r"\.partial-(?P<pid>\d+)-(?P<name>.+)")
# What this process is writing now. In a container the processes of two starts
# often have the same number, so the number alone does not tell.
_open: set[pathlib.Path] = set()


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Replaces a file as a whole, or leaves it as it was.

    The block writes to a new file in the same folder. At its end the content
    is on the disk before the new file takes the name of the old one, which
    POSIX makes one step. A process that is killed, or a disk that is full,
    leaves the old file as it was (keras#20463). What a killed process left
    behind is removed when the same path is written again.

    Args:
        path: The file to replace. Its folder must exist.

    Yields:
        The path to write to, with the same suffix as `path`.

    Raises:
        OSError: If the file cannot be written; `path` is as before.

    Example:

    >>> import pathlib
    >>> with atomic_file("numbers.txt") as partial:
    ...     _ = partial.write_text("1 2 3")
    >>> pathlib.Path("numbers.txt").read_text()
    '1 2 3'
    """
    path = pathlib.Path(path)
    remove_leftovers(path.parent, re.compile(re.escape(path.name)))
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    _open.add(partial.absolute())
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)
        _open.discard(partial.absolute())


def remove_leftovers(folder: pathlib.Path, names: re.Pattern[str]) -> None:
    """Removes partial files of these names whose process is gone."""
    for entry in folder.iterdir():
        found = PARTIAL.fullmatch(entry.name)
        if (
            found
            and names.fullmatch(found["name"])
            and not is_written(entry, int(found["pid"]))
        ):
            entry.unlink(missing_ok=True)


def is_written(partial: pathlib.Path, pid: int) -> bool:
    """Tells whether the process with this number may be writing the file."""
    if pid == os.getpid():
        return partial.absolute() in _open
    return is_running(pid)


def is_running(pid: int) -> bool:
    """Tells whether a process with this number exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync(path: pathlib.Path) -> None:
    """Waits until the file's or the folder's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
