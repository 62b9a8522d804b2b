"""Writes IDX files, sound ones and others."""

import gzip
import math
from pathlib import Path
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
FOLDER_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
Arrays = list[npt.NDArray[Any]]


def header(code: int, *shape: int) -> bytes:
    """Returns the header of an IDX file with elements of type `code`."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idx_bytes(array: npt.NDArray[Any]) -> bytes:
    """Returns an array as the content of a raw IDX file."""
    code = CODES[array.dtype.str[1:]]
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return header(code, *array.shape) + big_endian.tobytes()


def write(path: Path, array: npt.NDArray[Any]) -> Path:
    """Writes an IDX file, compressed if the name says so."""
    content = idx_bytes(array)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    path.write_bytes(content)
    return path


def small_arrays(side: tuple[int, int] = (28, 28)) -> Arrays:
    """Returns 30 training and 12 test images with labels; no two are equal."""
    arrays: Arrays = []
    for count in (30, 12):
        pixels = np.arange(count * math.prod(side)) * 7 % 251
        arrays.append(pixels.astype(np.uint8).reshape(count, *side))
        arrays.append((np.arange(count) % 10).astype(np.uint8))
    return arrays


def write_folder(folder: Path, arrays: Arrays, ending: str = "") -> Path:
    """Writes the four files of a data set."""
    for name, array in zip(FOLDER_NAMES, arrays, strict=True):
        write(folder / (name + ending), array)
    return folder
