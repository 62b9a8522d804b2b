"""Reads the header of an IDX file, and recognizes other files."""

import gzip
import math
import struct
from typing import Any
from typing import BinaryIO

import numpy as np

# The third byte of a file, and the big-endian elements that it stands for.
ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
# The most that every supported version of NumPy can hold.
MAX_RANK = 32
CHUNK = 1 << 20
# How many bytes of a different file are read and shown.
SHOWN = 32
DOWNLOAD_AGAIN = "Download the file again."


class IdxError(Exception):
    """A problem with a file; the caller adds the file's name."""


def read_header(
    stream: BinaryIO | gzip.GzipFile, limit: int, *, exact: bool
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Returns the type and the shape of the elements, and checks the size.

    Args:
        stream: The file, decompressed, at its beginning.
        limit: How many bytes the stream can hold.
        exact: Whether it holds precisely `limit` bytes.
    """
    dtype, rank = parse_magic(read_magic(stream))
    shape = parse_shape(read_up_to(stream, 4 * rank), rank)
    claimed = math.prod(shape) * dtype.itemsize
    available = limit - 4 - 4 * rank
    if claimed > available or (exact and claimed < available):
        most = "" if exact else "at most "
        raise wrong_size(dtype, shape, f"{most}{available}")
    return dtype, shape


def wrong_size(
    dtype: np.dtype[Any], shape: tuple[int, ...], held: str
) -> IdxError:
    """Returns the error for more or fewer bytes than the header announces."""
    claimed = math.prod(shape) * dtype.itemsize
    return IdxError(
        f"the header announces {claimed} bytes of data, shape {shape}, but the "
        f"file holds {held}. {DOWNLOAD_AGAIN}"
    )


def read_up_to(stream: BinaryIO | gzip.GzipFile, count: int) -> bytearray:
    """Returns the next `count` bytes, or as many as there are.

    Memory grows with the bytes that are read, not with `count`.
    """
    data = bytearray()
    while chunk := stream.read(min(CHUNK, count - len(data))):
        data += chunk
    return data


def read_magic(stream: BinaryIO | gzip.GzipFile) -> bytes:
    """Returns the first four bytes, or raises `IdxError` for other files."""
    magic = bytes(read_up_to(stream, 4))
    if len(magic) == 4 and magic.startswith(b"\0\0"):
        return magic
    if not magic:
        raise IdxError(f"the file is empty. {DOWNLOAD_AGAIN}")
    begin = magic + read_up_to(stream, SHOWN - len(magic))
    # A web page begins with a tag, perhaps after a byte order mark.
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise IdxError(
            "the file is an HTML page, not IDX data: the download failed, and "
            f"the answer of the server was saved. {DOWNLOAD_AGAIN}"
        )
    raise IdxError(
        f"this is not an IDX file: it begins with {begin!r}, expected two zero "
        "bytes, the type of the elements and the number of dimensions. Pass an "
        "IDX file"
    )


def parse_magic(magic: bytes) -> tuple[np.dtype[Any], int]:
    """Returns the type of the elements and the number of dimensions."""
    if magic[2] not in ELEMENT_TYPES:
        known = ", ".join(f"0x{code:02X}" for code in ELEMENT_TYPES)
        raise IdxError(
            "the type of the elements must be one of "
            f"{known}. Received: 0x{magic[2]:02X}. {DOWNLOAD_AGAIN}"
        )
    if not 1 <= magic[3] <= MAX_RANK:
        raise IdxError(
            f"the header announces {magic[3]} dimensions, expected 1 to "
            f"{MAX_RANK}. {DOWNLOAD_AGAIN}"
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
        raise IdxError(
            f"the header announces no data, shape {shape}. {DOWNLOAD_AGAIN}"
        )
    return shape
