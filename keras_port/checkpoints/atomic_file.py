"""Files that are complete or absent, whenever the process is killed."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import re
import secrets
import shutil

from keras_port._support import local_path

# The process, what nobody can guess, and the name of the whole file.
PARTIAL = re.compile(
    r"\.partial-(?P<pid>\d+)(\.(?P<token>[0-9a-f]+))?-(?P<name>.+)"
)
# What this process is writing now. In a container the processes of two starts
# often have the same number, so the number alone is not enough.
_open: set[pathlib.Path] = set()


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Replaces a file as a whole, or leaves it unchanged.

    The block writes to a new file on the same disk. When the block ends, the
    content is written to the disk, and then the new file replaces the old one
    in one step. If the process is killed or the disk is full, the old file is
    unchanged (keras#20463). What a killed process has left is removed when the
    same path is written again.

    Args:
        path: The file to replace. Its directory must exist. `~` is your home
            directory.

    Yields:
        The path to write to, with the same name as `path`.

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
    try:
        with partial_directory(path) as directory:
            partial = directory / path.name
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
    except FileNotFoundError:  # There is no directory for the file.
        raise
    except OSError as error:
        raise OSError(
            f"{path} could not be written: {error.strerror or error}. Free "
            "disk space, or fix the permissions; what was there before is "
            "unchanged."
        ) from error


@contextlib.contextmanager
def partial_directory(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a directory next to `path` for what is to replace it.

    Nobody can guess its name and nobody else can write to it, so no link that
    another user has planted is followed. It is removed in the end.

    Args:
        path: The file that will be replaced.

    Yields:
        The directory.

    Raises:
        OSError: If it cannot be made.
    """
    remove_leftovers(path.parent, path.name.__eq__)
    name = f".partial-{os.getpid()}.{secrets.token_hex(8)}-{path.name}"
    directory = path.with_name(name)
    _open.add(directory.absolute())
    try:
        directory.mkdir(mode=0o700)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        _open.discard(directory.absolute())


def remove_leftovers(
    directory: pathlib.Path, is_ours: Callable[[str], object]
) -> None:
    """Removes what processes that have ended left half-written.

    Args:
        directory: An existing directory.
        is_ours: Tells the names of the files that the caller writes from
            others.
    """
    for entry in directory.iterdir():
        found = PARTIAL.fullmatch(entry.name)
        if (
            found
            and is_ours(found["name"])
            and not is_written(entry, int(found["pid"]))
        ):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
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
