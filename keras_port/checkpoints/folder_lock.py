"""One process at a time in a folder."""

import contextlib
import os
import pathlib
import sys
import weakref

NAME = ".lock"


class FolderLock:
    """Keeps a folder for this process, until it is released or ends.

    The operating system holds the lock, not the file: whatever ends the
    process, the folder is free again. Within a process the newest lock takes
    the folder over, since a training that raised, in a notebook, can leave an
    older one behind. Windows has no such locks, and nothing is checked there.

    Args:
        folder: An existing folder.

    Raises:
        OSError: If another process has it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        key = str(folder.resolve())
        if key in _held:
            _held[key].release()
        self._file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
        self._finalizer = weakref.finalize(self, os.close, self._file)
        if not is_taken(self._file):
            owner = os.read(self._file, 32).decode(errors="replace").strip()
            self.release()
            raise OSError(
                f"{folder} is in use by another training (process {owner}). "
                "Wait for its end, or choose another folder."
            )
        with contextlib.suppress(OSError):  # The number is for the message.
            os.truncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())
        _held[key] = self

    def release(self) -> None:
        """Gives the folder back."""
        self._finalizer()


_held: weakref.WeakValueDictionary[str, FolderLock] = (
    weakref.WeakValueDictionary()
)


def is_taken(file: int) -> bool:
    """Takes the lock of an open file, and tells whether that worked."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
