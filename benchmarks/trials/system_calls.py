"""Counts the calls that change a directory, and kills the process at one."""

import builtins
from collections.abc import Callable
import fcntl
import functools
import io
import itertools
import os
import pathlib
import signal
from typing import Any

WATCHED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (
        os,
        (
            *("fsync", "replace", "rename", "link", "unlink", "remove"),
            *("mkdir", "rmdir", "open", "truncate", "ftruncate"),
        ),
    ),
    (fcntl, ("flock",)),
    (builtins, ("open",)),
    (io, ("open",)),
)


class Watch:
    """Counts the calls of Python's functions for the files of a directory.

    Args:
        directory: What is called for another directory is not counted.
        kill_at: Number of the call at which the process is killed, from 1 on.
            Defaults to `None`: none.
        after: Whether it is killed after the call. Defaults to before it.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        kill_at: int | None = None,
        *,
        after: bool = False,
    ) -> None:
        self.directory = str(directory)
        self.kill_at = kill_at
        self.after = after
        self.count = 0
        # `next` is one step even with several threads.
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Replaces the functions for the rest of the process."""
        for module, names in WATCHED:
            for name in names:
                setattr(module, name, self._wrap(getattr(module, name)))

    def _wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._is_counted(args, kwargs):
                return function(*args, **kwargs)
            number = next(self._numbers)
            self.count = max(self.count, number)
            if number == self.kill_at and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if number == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    def _is_counted(self, args: Any, kwargs: Any) -> bool:
        """Tells whether a call is for the directory, as far as it shows."""
        if kwargs.get("dir_fd") is not None:
            return True  # `shutil.rmtree` names what is in an open directory.
        path = args[0] if args else None
        if isinstance(path, int):
            return True
        return isinstance(path, str | os.PathLike) and (
            self.directory in os.fspath(path)
        )
