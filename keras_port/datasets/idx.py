"""Reads IDX files, the format in which MNIST and its like are published."""

import gzip
import math
import os
from pathlib import Path
import stat
import struct
from typing import Any
from typing import BinaryIO
import zlib

import numpy as np
import numpy.typing as npt

# The third byte of a file, and the big-endian elements that it stands for.
ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
GZIP_MAGIC = b"\x1f\x8b"
# A repetition of 258 bytes takes at least two bits, so no gzip file unpacks to
# more than this many times its own size.
DEFLATE_LIMIT = 1032
# The most that every supported version of NumPy can hold.
MAX_RANK = 32
CHUNK = 1 << 20
# How many bytes of something else are looked at, and shown.
SHOWN = 32
DOWNLOAD_AGAIN = "Download the file again."


def read_idx(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Reads an IDX file, raw or gzip-compressed, into an array.

    Whether the file is compressed is told from its content, not its name. A
    file whose header claims more than the file holds is refused before memory
    is taken for it.

    Args:
        path: The file.

    Returns:
        A new array of the shape that the file states, in the byte order of
        this machine; uint8, int8, int16, int32, float32 or float64.

    Raises:
        ValueError: If the file is anything but one whole IDX file of at least
            one element; the message names the file and what is wrong.
        IsADirectoryError: If `path` is a folder.
        FileNotFoundError: If there is no such file.

    Example:

    >>> keras_port.datasets.read_idx("train-images-idx3-ubyte.gz").shape
    (60000, 28, 28)
    """
    path = Path(path)
    size = file_size(path)
    try:
        with path.open("rb") as file:
            if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
                file.seek(0)
                return read_stream(file, size, exact=True)
            file.seek(0)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return read_stream(unpacked, size * DEFLATE_LIMIT, exact=False)
    except EOFError as error:
        problem = f"the gzip data end too early. {DOWNLOAD_AGAIN}"
        raise ValueError(f"{path}: {problem}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        problem = f"the gzip data are damaged ({error}). {DOWNLOAD_AGAIN}"
        raise ValueError(f"{path}: {problem}") from error
    except IdxError as error:
        raise ValueError(f"{path}: {error}") from None


class IdxError(Exception):
    """What is wrong with a file whose name is added further up."""


def file_size(path: Path) -> int:
    """Returns the size of a file in bytes, and refuses what is no file."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(
            f"{path} is a folder; `path` must be an IDX file"
        )
    # Opening a pipe would wait for a writer, possibly for ever.
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(
            f"{path} is not a regular file (a pipe or a device?); `path` must "
            "be an IDX file"
        )
    return found.st_size


def read_stream(
    stream: BinaryIO | gzip.GzipFile, limit: int, *, exact: bool
) -> npt.NDArray[Any]:
    """Reads the header and the elements of an IDX file.

    Args:
        stream: The file, unpacked, at its beginning.
        limit: How many bytes the stream can hold.
        exact: Whether it holds precisely `limit` bytes.
    """
    dtype, rank = parse_magic(read_magic(stream))
    shape = parse_shape(read_up_to(stream, 4 * rank), rank)
    claimed = math.prod(shape) * dtype.itemsize
    header = f"the header announces {claimed} bytes of data, shape {shape}"
    available = limit - 4 - 4 * rank
    if claimed > available or (exact and claimed < available):
        most = "" if exact else "at most "
        raise IdxError(
            f"{header}, but the file holds {most}{available}. {DOWNLOAD_AGAIN}"
        )
    # One byte more than announced is enough to know that there are too many,
    # and makes gzip compare its checksum at the end of the data.
    data = read_up_to(stream, claimed + 1)
    if len(data) != claimed:
        held = f"{len(data)}" if len(data) < claimed else "more"
        raise IdxError(f"{header}, but the file holds {held}. {DOWNLOAD_AGAIN}")
    elements = np.frombuffer(data, dtype).reshape(shape)
    return elements.astype(dtype.newbyteorder("="), copy=False)


def read_up_to(stream: BinaryIO | gzip.GzipFile, count: int) -> bytearray:
    """Returns the next `count` bytes, or as many as there are.

    The memory grows with what arrives, never with what was asked for.
    """
    data = bytearray()
    while chunk := stream.read(min(CHUNK, count - len(data))):
        data += chunk
    return data


def read_magic(stream: BinaryIO | gzip.GzipFile) -> bytes:
    """Returns the first four bytes, and refuses what is not IDX at all."""
    magic = bytes(read_up_to(stream, 4))
    if len(magic) == 4 and magic.startswith(b"\0\0"):
        return magic
    if not magic:
        raise IdxError(f"the file is empty. {DOWNLOAD_AGAIN}")
    begin = magic + read_up_to(stream, SHOWN - len(magic))
    # A web page begins with a tag, perhaps after a byte order mark.
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise IdxError(
            "the file is an HTML page, not IDX data: the download went wrong, "
            f"and the server's answer was saved instead. {DOWNLOAD_AGAIN}"
        )
    raise IdxError(
        f"this is no IDX file: it begins with {begin!r}, expected two zero "
        "bytes, the type of the elements and the number of dimensions"
    )


def parse_magic(magic: bytes) -> tuple[np.dtype[Any], int]:
    """Returns the type of the elements and the number of dimensions."""
    if magic[2] not in ELEMENT_TYPES:
        known = ", ".join(f"0x{code:02X}" for code in ELEMENT_TYPES)
        raise IdxError(
            f"unknown type of elements 0x{magic[2]:02X}; IDX knows {known}"
        )
    if not 1 <= magic[3] <= MAX_RANK:
        raise IdxError(
            f"the header announces {magic[3]} dimensions, expected 1 to "
            f"{MAX_RANK}"
        )
    return ELEMENT_TYPES[magic[2]], magic[3]


def parse_shape(header: bytearray, rank: int) -> tuple[int, ...]:
    """Returns the length of each dimension."""
    if len(header) < 4 * rank:
        raise IdxError(
            f"the file ends within the header, which announces {rank} "
            f"dimensions. {DOWNLOAD_AGAIN}"
        )
    shape = struct.unpack(f">{rank}I", header)
    if 0 in shape:
        raise IdxError(f"the header announces no data, shape {shape}")
    return shape
