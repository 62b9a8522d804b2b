"""Files that are complete or absent, whenever the process is killed."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import re

from keras_port._support import local_path

# The process before the name, so that the suffix is that of the file.
PARTIAL = re.compile(r"\.partial-(?P<pid>\d+)-(?P<name>.+)")
# What this process is writing now. In a container the processes of two starts
# often have the same number, so the number alone is not enough.
_open: set[pathlib.Path] = set()


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Replaces a file as a whole, or leaves it unchanged.

    The block writes to a new file in the same directory. When the block ends,
    the content is written to the disk, and then the new file replaces the old
    one in one step. If the process is killed or the disk is full, the old file
    is unchanged (keras#20463). The partial file of a killed process is removed
    when the same path is written again.

    Args:
        path: The file to replace. Its directory must exist. `~` is your home
            directory.

    Yields:
        The path to write to, with the same suffix as `path`.

    Raises:
        OSError: If the file cannot be written; `path` is unchanged.
        ValueError: If `path` is empty or a bucket such as `gs://`.

    Example:

    >>> import pathlib
    >>> with atomic_file("numbers.txt") as partial:
    ...     _ = partial.write_text("1 2 3")
    >>> pathlib.Path("numbers.txt").read_text()
    '1 2 3'
    """
    path = local_path("path", path)
    remove_leftovers(path.parent, path.name.__eq__)
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


def remove_leftovers(
    directory: pathlib.Path, names: re.Pattern[str] | Callable[[str], bool]
) -> None:
    """Removes partial files whose process has ended.

    Args:
        directory: An existing directory.
        names: The names of the whole files, as a pattern or as a function that
            tells them from others.
    """
    is_ours = names if callable(names) else names.fullmatch
    for entry in directory.iterdir():
        found = PARTIAL.fullmatch(entry.name)
        if (
            found
            and is_ours(found["name"])
            and not is_written(entry, int(found["pid"]))
        ):
            entry.unlink(missing_ok=True)


def is_written(partial: pathlib.Path, pid: int) -> bool:
    """Returns whether the process with this number may be writing the file."""
    if pid == os.getpid():
        return partial.absolute() in _open
    return is_running(pid)


def is_running(pid: int) -> bool:
    """Returns whether a process with this number exists."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync(path: pathlib.Path) -> None:
    """Waits until the content of a file or directory is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
