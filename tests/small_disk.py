"""A disk that is small enough to be filled."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
import shutil
import subprocess

import pytest


@contextlib.contextmanager
def mount(directory: Path, size: str = "256k") -> Iterator[Path]:
    """Mounts a disk of its own, in memory, on a directory."""
    directory.mkdir()
    options = f"size={size}"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("Mounting a small disk needs root on Linux.")
    try:
        yield directory
    finally:
        # Lazily: a process may still have a file open.
        subprocess.run(["umount", "-l", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Writes a file that takes all that is left of a disk, and returns it."""
    path = directory / "filling"
    with (
        path.open("wb", buffering=0) as file,
        contextlib.suppress(OSError),
    ):
        while True:
            file.write(bytes(512))
    return path
