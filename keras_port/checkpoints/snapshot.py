"""Arrays and JSON values in one file that is complete or absent."""

from collections.abc import Iterator
import contextlib
import io
import json
import math
import os
import pathlib
from typing import Any
import zipfile

import numpy as np

from keras_port._support import open_file
from keras_port.checkpoints.atomic_file import atomic_file

FORMAT = 1
MANIFEST = "manifest"
ARRAY_KEY = "__array__"
# In bytes. So small that a piece is still in the processor's cache when the
# system reads it after the checksum: the training needs the memory as well.
PIECE = 1 << 18


def write_snapshot(
    path: pathlib.Path,
    content: dict[str, Any],
    notes: dict[str, Any] | None = None,
) -> None:
    """Writes nested dictionaries and lists of JSON values and arrays.

    The arrays are members of a `.npz` file. The other values are in its
    manifest, which is JSON. Nothing is pickled.

    Args:
        path: The file.
        content: The values.
        notes: JSON values that are no part of the content, such as times.
            Defaults to `None`: none.

    Raises:
        TypeError: For a value that is neither, and for an array of objects.
        OSError: If the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    manifest = {
        "format": FORMAT,
        "content": pack(content, arrays),
        "notes": notes or {},
    }
    text = json.dumps(manifest).encode()
    arrays[MANIFEST] = np.frombuffer(text, np.uint8)
    with atomic_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            write_member(archive, name, np.asarray(array, order="C"))


def preview(content: dict[str, Any]) -> dict[str, Any]:
    """Returns what will be read from a file with this content."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(pack(content, arrays))
    read: dict[str, Any] = unpack(json.loads(text), arrays)
    return read


def write_member(
    archive: zipfile.ZipFile, name: str, array: np.ndarray
) -> None:
    """Adds an array as `np.savez` does, but without copying it.

    `np.savez` copies every array in pieces and holds Python's lock, so the
    training would wait. Here the checksum and the system read the array's own
    memory without the lock.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, np.lib.format.header_data_from_array_1_0(array)
    )
    # A member that is written in pieces may become larger than 4 GiB.
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(header.getvalue())
        content = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(content), PIECE):
            member.write(content[start : start + PIECE])


def read_snapshot(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the content of a file of `write_snapshot`.

    Raises:
        ValueError: If the file is not complete; every member has a checksum.
    """
    content, _ = read_snapshot_and_notes(path)
    return content


def read_snapshot_and_notes(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the content and the notes of a file of `write_snapshot`.

    Raises:
        ValueError: If the file is not complete.
    """
    with name_snapshot_in_errors(path):
        arrays, manifest = read_arrays_and_manifest(path)
        content: dict[str, Any] = unpack(manifest["content"], arrays)
        return content, dict(manifest.get("notes", {}))


def read_arrays_and_manifest(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the members of a snapshot."""
    with open_file(path) as file, zipfile.ZipFile(file) as archive:
        arrays = read_members(archive, os.fstat(file.fileno()).st_size)
    manifest: dict[str, Any] = json.loads(arrays.pop(MANIFEST).tobytes())
    if manifest["format"] != FORMAT:
        raise ValueError(
            f"its format is {manifest['format']!r}, and this version of "
            f"keras_port reads {FORMAT}"
        )
    return arrays, manifest


@contextlib.contextmanager
def name_snapshot_in_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raises a `ValueError` that names the file for every error."""
    try:
        yield
    except Exception as error:  # of zipfile, zlib, NumPy
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{path} is not a complete snapshot: {reason.rstrip('.')}."
        ) from error


def read_members(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a snapshot, which take no more than it has.

    `write_snapshot` compresses nothing, so a file that would become larger is
    none of ours.

    Args:
        archive: The open file.
        size: Bytes of the file.
    """
    members = archive.infolist()
    if sum(one.file_size for one in members) > size or any(
        one.compress_type != zipfile.ZIP_STORED for one in members
    ):
        raise ValueError("its content is larger than the file")
    return {
        one.filename.removesuffix(".npy"): read_member(archive, one)
        for one in members
    }


def read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> np.ndarray:
    """Returns an array that `write_member` has added.

    `np.load` would allocate what the header claims before it reads it.
    """
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("its arrays have another format")
        header = np.lib.format.read_array_header_1_0(file)
        content = file.read()  # Up to the end, where the checksum is verified.
    shape, fortran_order, dtype = header
    if dtype.hasobject or fortran_order:
        raise ValueError("an array in it is none of `write_snapshot`")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise ValueError("an array in it has another size than its header says")
    # A copy of the bytes that may be written to.
    return np.ndarray(shape, dtype, bytearray(content))


def pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Returns `value` for JSON, and moves its arrays to `arrays`."""
    if isinstance(value, dict):
        return {str(k): pack(v, arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [pack(v, arrays) for v in value]
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("An array of Python objects would be pickled.")
        key = f"array_{len(arrays)}"
        # The bits of a dtype that is not NumPy's own, such as bfloat16, are
        # saved as integers.
        plain = value.dtype.isbuiltin != 2
        arrays[key] = value if plain else value.view(f"u{value.itemsize}")
        return {ARRAY_KEY: key, "dtype": value.dtype.name}
    if isinstance(value, np.generic):
        return value.item()
    return value


def unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Returns the value that `pack` received."""
    if isinstance(value, list):
        return [unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    if ARRAY_KEY not in value:
        return {k: unpack(v, arrays) for k, v in value.items()}
    array = arrays[value[ARRAY_KEY]]
    name = value["dtype"]
    return array if array.dtype.name == name else array.view(name)
