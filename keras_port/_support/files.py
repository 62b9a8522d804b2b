"""The one way to open a file that somebody else may have made.

A pipe would wait forever, a link to `/dev/zero` would fill the memory, and a
few bytes of a zip file can claim to be terabytes. So what is opened is a
regular file, and nothing is read that is larger than what is there.
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import stat
from typing import BinaryIO
import zipfile

# The kinds of things that a path can lead to, for the error messages.
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}
# Windows has neither; there, a path never waits for a writer.
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# How the files start that a repository has instead of the large ones, with the
# program that wrote them and its command that gets the content.
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": ("Git LFS", "git lfs pull"),
    b"/annex/objects/": ("git-annex", "git annex get"),
}
_MAX_POINTER_START = max(map(len, _POINTERS))


class PointerError(ValueError):
    """Says that a file is only a pointer to the content."""


@contextlib.contextmanager
def open_file(
    path: str | os.PathLike[str], *, max_bytes: int | None = None
) -> Iterator[BinaryIO]:
    """Opens a regular file for reading, and nothing else.

    Args:
        path: The file. A link to a regular file is one.
        max_bytes: The largest size that is accepted. Defaults to `None`: any.

    Yields:
        The open file, in binary.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        OSError: If it cannot be opened.
        PointerError: If it is a pointer of Git LFS or git-annex.
        ValueError: If it is a directory, a pipe or a device, or too large.
    """
    # Before it is opened, too: opening some devices does something.
    check_regular(path, os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        check_regular(path, found)
        if max_bytes is not None and found.st_size > max_bytes:
            raise ValueError(
                f"{path} has {found.st_size:,} bytes. A file of its kind has "
                f"at most {max_bytes:,}."
            )
        _check_no_pointer(path, file.read(_MAX_POINTER_START))
        file.seek(0)
        yield file


def _check_no_pointer(path: str | os.PathLike[str], start: bytes) -> None:
    """Raises `PointerError` if a file starts as a pointer does."""
    for beginning, (program, command) in _POINTERS.items():
        if start.startswith(beginning):
            raise PointerError(
                f"{show_name(os.fspath(path), max_length=1000)} is a pointer "
                f"of {program}, without the content. Run `{command}` in its "
                "repository, or download the file itself."
            )


def read_file(path: str | os.PathLike[str], *, max_bytes: int) -> bytes:
    """Returns the content of a regular file.

    Args:
        path: The file.
        max_bytes: The largest size that is accepted.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        OSError: If it cannot be read.
        PointerError: If it is a pointer of Git LFS or git-annex.
        ValueError: If it is a directory, a pipe or a device, or too large.
    """
    with open_file(path, max_bytes=max_bytes) as file:
        # Python allocates as many bytes as it is asked for.
        there = os.fstat(file.fileno()).st_size
        return file.read(min(max_bytes, there))


def is_regular_file(path: pathlib.Path) -> bool:
    """Returns whether `open_file` would open the path."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the path.
        return False


def check_regular(path: str | os.PathLike[str], found: os.stat_result) -> None:
    """Raises `ValueError` unless `found` describes a regular file."""
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(
            f"{path} is {_KINDS.get(kind, 'something else')}, not a file."
        )


def read_zip_member(
    archive: zipfile.ZipFile, name: str, *, max_bytes: int
) -> bytes:
    """Returns the content of a member of a zip file.

    The size is checked before anything is inflated. Python never returns more
    than the size that the archive declares.

    Args:
        archive: The open archive.
        name: Name of the member.
        max_bytes: The largest size that is accepted.

    Raises:
        KeyError: If there is no such member.
        ValueError: If the member is too large.
        zipfile.BadZipFile: If its checksum is wrong.
    """
    member = archive.getinfo(name)
    if member.file_size > max_bytes:
        raise ValueError(
            f"its member {show_name(name)} has {member.file_size:,} bytes, "
            f"more than {max_bytes:,}"
        )
    return archive.read(member)


def show_name(name: str, *, max_length: int = 200) -> str:
    r"""Returns a name from a file as it can be printed on a terminal.

    Line breaks and escape sequences could forge lines of a listing or change
    the terminal. They are printed as Python writes them, such as `\x1b`.

    Args:
        name: Any text.
        max_length: Longer names are cut, and end with "...". Defaults to 200.

    Example:

    >>> show_name("weights\x1b[2J\n")
    'weights\\x1b[2J\\n'
    """
    if len(name) > max_length:
        name = name[:max_length] + "..."
    if name.isprintable():
        return name
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
        for c in name
    )
