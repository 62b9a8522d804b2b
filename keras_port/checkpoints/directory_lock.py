"""One process at a time in a directory."""

import contextlib
import os
import pathlib
import stat
import sys
import weakref

NAME = ".lock"


class DirectoryLock:
    """Locks a directory for this process, until it is released or ends.

    The operating system holds the lock, so a process that is killed releases
    it. Processes that this one forks do not hold it. Within a process the
    newest lock replaces an older one, because a training that raised an error
    in a notebook may have left it. On Windows nothing is locked.

    Args:
        directory: An existing directory.

    Raises:
        OSError: If another process has the lock, or if `.lock` is a link, a
            pipe or a device.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        key = str(directory.resolve())
        if key in _held:
            _held[key].release()
        self._file = open_lock(directory / NAME)
        self._finalizer = weakref.finalize(self, unlock, self._file)
        if not is_taken(self._file):
            owner = os.read(self._file, 32).decode(errors="replace").strip()
            self.release()
            raise OSError(
                f"{directory} is in use by another training"
                f"{describe_process(owner)}. Wait until it ends, or choose "
                "another directory."
            )
        # The number is for the message. A file with a second name, as some
        # backups make it, may be somebody's, and is locked but not changed.
        if os.fstat(self._file).st_nlink == 1:
            with contextlib.suppress(OSError):
                os.truncate(self._file, 0)
                os.write(self._file, f"{os.getpid()}\n".encode())
        _held[key] = self

    def release(self) -> None:
        """Unlocks the directory."""
        self._finalizer()

    def forget(self) -> None:
        """Closes the file without unlocking it, in a forked process."""
        # Unlocking would take the lock from the parent: `fork` copies the
        # descriptor, and the lock belongs to the open file behind both.
        if self._finalizer.detach():
            os.close(self._file)


_held: weakref.WeakValueDictionary[str, DirectoryLock] = (
    weakref.WeakValueDictionary()
)


def open_lock(path: pathlib.Path) -> int:
    """Opens the lock's file, which nobody else may have put there.

    Raises:
        OSError: If it cannot be opened, or is a link, a pipe or a device.
    """
    # A link is not followed, and a pipe does not wait for a reader.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
    except OSError as error:
        if not path.is_symlink():
            raise
        raise OSError(
            f"{path} is a link, not the lock of a training. Remove it."
        ) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(
            f"{path} is not a file, and so not the lock of a training. Remove "
            "it."
        )
    return file


def describe_process(owner: str) -> str:
    """Returns the process that has the lock, as far as the file says."""
    return f" (process {owner})" if owner.isdecimal() else ""


def is_taken(file: int) -> bool:
    """Locks an open file, and returns whether that worked."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlock(file: int) -> None:
    """Unlocks an open file for every process that has it, and closes it."""
    if sys.platform != "win32":
        import fcntl

        # Closing is not enough: a process that a C library forked may still
        # have the file open.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def forget_locks() -> None:
    """Gives up what a forked process has of its parent's locks.

    Otherwise workers that outlive a killed training would hold its directory.
    """
    for lock in list(_held.values()):
        lock.forget()
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=forget_locks)
