"""Reads IDX files, the format of MNIST and similar data sets."""

import gzip
import math
import os
from pathlib import Path
import shlex
import stat
from typing import Any
from typing import BinaryIO
import zlib

import numpy as np
import numpy.typing as npt

from keras_port._support import local_path
from keras_port.datasets._idx_header import DOWNLOAD_AGAIN
from keras_port.datasets._idx_header import IdxError
from keras_port.datasets._idx_header import read_header
from keras_port.datasets._idx_header import read_up_to
from keras_port.datasets._idx_header import wrong_size

GZIP_MAGIC = b"\x1f\x8b"
# A repetition of 258 bytes takes at least two bits, so no gzip file unpacks to
# more than this many times its own size.
DEFLATE_LIMIT = 1032


def read_idx(
    path: str | os.PathLike[str], *, mmap: bool = False
) -> npt.NDArray[Any]:
    """Reads an IDX file, raw or gzip-compressed, into an array.

    The content of the file, not its name, decides whether it is compressed. A
    header that announces more data than the file holds raises an error before
    memory is allocated.

    With `mmap=True` the data stay in the file, for data larger than memory. The
    operating system reads the parts that are used. The header is still checked.
    Do not change the file while it is mapped: if it gets shorter, the process
    ends.

    Args:
        path: The file. `~` is your home directory.
        mmap: Whether to map the file, which must be uncompressed, instead of
            reading it. Defaults to False.

    Returns:
        A new array of the shape that the file states, in the byte order of
        this machine; uint8, int8, int16, int32, float32 or float64. With
        `mmap=True` a read-only `np.memmap`, in the byte order of the file: big
        endian, as nothing can swap the bytes of a file that is not read.
        NumPy and TensorFlow take it as it is; `astype(np.float32)` swaps a
        part of it. Bytes have no order.

    Raises:
        ValueError: If the file is not one complete IDX file with at least one
            element, or is compressed and should be mapped; the message names
            the file and the problem. Also if `path` is empty or a bucket such
            as `gs://`.
        IsADirectoryError: If `path` is a directory.
        FileNotFoundError: If there is no such file.

    Example:

    >>> keras_port.datasets.read_idx("train-images-idx3-ubyte.gz").shape
    (60000, 28, 28)
    """
    path = local_path("path", path)
    size = file_size(path)
    try:
        with path.open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            if mmap and packed:
                raise packed_error(path)
            if mmap:
                return map_file(file, size)
            if not packed:
                return read_stream(file, size, exact=True)
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


def file_size(path: Path) -> int:
    """Returns the size of a file in bytes, if it is a regular file."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(
            f"{path} is a directory; `path` must be an IDX file. Pass one of "
            "its files, or pass the directory to `load_mnist`"
        )
    # Opening a pipe would wait for a writer, possibly forever.
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(
            f"{path} is not a regular file, but perhaps a pipe or a device; "
            "`path` must be an IDX file. Copy the data to a file"
        )
    return found.st_size


def map_file(file: BinaryIO, size: int) -> np.memmap[Any, np.dtype[Any]]:
    """Maps the elements of an IDX file, of which the header is read.

    Args:
        file: The file, at its beginning.
        size: Its size in bytes.
    """
    dtype, shape = read_header(file, size, exact=True)
    return np.memmap(file, dtype, "r", file.tell(), shape)


def packed_error(path: Path) -> IdxError:
    """Returns the error for a compressed file that should be mapped."""
    name = shlex.quote(str(path))
    command = f"gunzip -k {name}"
    if path.suffix != ".gz":
        # gunzip requires this suffix.
        packed = shlex.quote(f"{path}.gz")
        command = f"mv {name} {packed} && gunzip -k {packed}"
    return IdxError(
        "a gzip-compressed file cannot be mapped (`mmap=True`). Decompress it "
        f"first: {command}"
    )


def read_stream(
    stream: BinaryIO | gzip.GzipFile, limit: int, *, exact: bool
) -> npt.NDArray[Any]:
    """Reads the header and the elements of an IDX file.

    Args:
        stream: The file, decompressed, at its beginning.
        limit: How many bytes the stream can hold.
        exact: Whether it holds precisely `limit` bytes.
    """
    dtype, shape = read_header(stream, limit, exact=exact)
    claimed = math.prod(shape) * dtype.itemsize
    # One byte more than announced is enough to know that there are too many,
    # and makes gzip compare its checksum at the end of the data.
    data = read_up_to(stream, claimed + 1)
    if len(data) != claimed:
        held = f"{len(data)}" if len(data) < claimed else "more"
        raise wrong_size(dtype, shape, held)
    elements = np.frombuffer(data, dtype).reshape(shape)
    return elements.astype(dtype.newbyteorder("="), copy=False)
