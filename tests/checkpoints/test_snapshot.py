"""A snapshot gives back what it was given, or says that it is broken."""

import io
import json
import math
import os
from pathlib import Path
import pickle
import tracemalloc
from typing import Any
import zipfile

import ml_dtypes
import numpy as np
import pytest

from keras_port.checkpoints.snapshot import read_snapshot
from keras_port.checkpoints.snapshot import write_snapshot

DTYPES = [
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"),
    *("uint64", "float16", "float32", "float64", "complex64", "complex128"),
    *("bfloat16", "float8_e4m3fn", "float8_e5m2", "<U3", ">f4"),
]


def dtype_of(name: str) -> np.dtype[Any]:
    """Returns a type of NumPy or of ml_dtypes, which TensorFlow brings."""
    return np.dtype(getattr(ml_dtypes, name, name))


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
@pytest.mark.parametrize("name", DTYPES)
def test_arrays_of_every_type_come_back(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    # The last bit of each byte is there as well.
    numbers = np.linspace(-1, 3, math.prod(shape)).reshape(shape)
    with np.errstate(invalid="ignore"):
        array = numbers.astype(dtype_of(name))
    write_snapshot(tmp_path / "s.npz", {"array": array})
    back = read_snapshot(tmp_path / "s.npz")["array"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_values_that_are_not_numbers_come_back_to_the_bit(
    tmp_path: Path, name: str
) -> None:
    values = [math.nan, math.inf, -math.inf, -0.0, 1e-40]
    array = np.array(values, np.float32).astype(dtype_of(name))
    write_snapshot(tmp_path / "s.npz", {"array": array})
    back = read_snapshot(tmp_path / "s.npz")["array"]
    assert back.tobytes() == array.tobytes()


def test_arrays_in_any_memory_order_come_back(tmp_path: Path) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype_of("bfloat16"))
    content = {"turned": array.T, "part": array[::2, 1:3]}
    write_snapshot(tmp_path / "s.npz", content)
    back = read_snapshot(tmp_path / "s.npz")
    np.testing.assert_array_equal(back["turned"], array.T)
    np.testing.assert_array_equal(back["part"], array[::2, 1:3])


def test_nested_values_come_back(tmp_path: Path) -> None:
    content = {
        "none": None,
        "truth": [True, False],
        "numbers": [1, -(2**70), 0.1, 1e300],
        "text": "ä\n\0",
        "empty": [{}, [], ""],
        "deep": {"a": [{"b": {"c": "d"}}]},
    }
    write_snapshot(tmp_path / "s.npz", content)
    assert read_snapshot(tmp_path / "s.npz") == content


def test_tuples_and_numbers_of_numpy_become_plain(tmp_path: Path) -> None:
    content = {"tuple": (1, 2), "step": np.int64(3), "loss": np.float32(0.5)}
    write_snapshot(tmp_path / "s.npz", content)
    back = read_snapshot(tmp_path / "s.npz")
    assert back == {"tuple": [1, 2], "step": 3, "loss": 0.5}
    assert [type(v) for v in back.values()] == [list, int, float]


@pytest.mark.parametrize(
    "value", [np.array([{}]), {1, 2}, object()], ids=["array", "set", "object"]
)
def test_python_objects_are_refused_and_nothing_is_written(
    tmp_path: Path, value: Any
) -> None:
    with pytest.raises(TypeError, match=r"pickled|JSON"):
        write_snapshot(tmp_path / "s.npz", {"value": value})
    assert list(tmp_path.iterdir()) == []


class Opened:
    """Notes in the class that somebody has unpickled it."""

    unpickled = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Opened, "unpickled", True)


@pytest.mark.parametrize("how", ["file", "array in npz", "array in npy"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, how: str) -> None:
    path = tmp_path / "s.npz"
    array = np.array([Opened()], object)
    if how == "file":
        path.write_bytes(pickle.dumps(Opened()))
    else:
        with open(path, "wb") as file:
            if how == "array in npz":
                np.savez(file, manifest=array)
            else:
                np.save(file, array)
    with pytest.raises(ValueError, match=r"s\.npz is not a complete snapshot"):
        read_snapshot(path)
    assert not Opened.unpickled
    pickle.loads(pickle.dumps(Opened()))
    assert Opened.unpickled  # So the check above can fail.
    Opened.unpickled = False


def manifest_file(path: Path, content: bytes) -> None:
    """Writes a snapshot with this manifest and no array."""
    with open(path, "wb") as file:
        np.savez(file, manifest=np.frombuffer(content, np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        json.dumps({"format": 2, "content": {}}).encode(),
        json.dumps({"format": 1}).encode(),
        b'{"format": 1, "content": {"__array__": "array_0"}}',
        b'{"format": 1, "content": {"__array__": "x", "dtype": "f4"}}',
    ],
    ids=repr,
)
def test_a_wrong_manifest_is_a_value_error(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "s.npz"
    manifest_file(path, content)
    with pytest.raises(ValueError, match=r"s\.npz is not a complete snapshot"):
        read_snapshot(path)


def small_snapshot(path: Path) -> tuple[bytes, str]:
    """Writes a snapshot and returns its bytes and what it holds, as text."""
    content = {
        "step": 3,
        "name": "text",
        "plain": np.arange(4, dtype="float32"),
        "bits": np.ones(2, dtype_of("bfloat16")),
    }
    write_snapshot(path, content)
    return path.read_bytes(), str(read_snapshot(path))


def is_refused(path: Path, content: bytes, expected: str) -> bool:
    """Tells whether a changed file was refused; else it must read the same."""
    path.write_bytes(content)
    try:
        found = read_snapshot(path)
    except ValueError as error:
        assert str(error).startswith(f"{path} is not a complete snapshot")  # noqa: PT017
        return True
    assert str(found) == expected
    return False


def test_a_file_cut_anywhere_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    whole, expected = small_snapshot(path)
    for length in range(len(whole)):
        assert is_refused(path, whole[:length], expected), length


@pytest.mark.parametrize("mask", [0x01, 0x08, 0x80, 0xFF])
def test_a_flipped_byte_is_a_value_error_or_changes_nothing(
    tmp_path: Path, mask: int
) -> None:
    path = tmp_path / "s.npz"
    whole, expected = small_snapshot(path)
    refused = 0
    for position in range(len(whole)):
        content = bytearray(whole)
        content[position] ^= mask
        refused += is_refused(path, bytes(content), expected)
    # The rest are bytes of the archive that say nothing, such as times.
    assert refused > 0.6 * len(whole)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 1000, b"PK\3\4" + b"\0" * 100, b"\x93NUMPY"]
)
def test_another_file_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.npz is not a complete snapshot"):
        read_snapshot(path)


def test_an_archive_without_arrays_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.npy", "text")
    with pytest.raises(ValueError, match=r"s\.npz is not a complete snapshot"):
        read_snapshot(path)


def test_a_missing_file_and_a_folder_are_value_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "s.npz", tmp_path):
        with pytest.raises(ValueError, match="is not a complete snapshot"):
            read_snapshot(path)


def write_bomb(path: Path, *, stored: bool) -> None:
    """Writes a small file whose array claims or becomes 100 MB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**8,)}
    )
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w", method) as archive,
        archive.open("a.npy", "w") as member,
    ):
        member.write(header.getvalue())
        if not stored:
            member.write(bytes(10**8))


@pytest.mark.parametrize("stored", [False, True])
def test_a_small_file_takes_little_memory(tmp_path: Path, stored: bool) -> None:
    """S10: an array that inflates, and one that claims more than is there."""
    path = tmp_path / "s.npz"
    write_bomb(path, stored=stored)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"s\.npz is not a complete snapshot"):
        read_snapshot(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_pipe_does_not_wait(tmp_path: Path) -> None:
    """S9."""
    os.mkfifo(tmp_path / "s.npz")
    with pytest.raises(ValueError, match="is a pipe, not a file"):
        read_snapshot(tmp_path / "s.npz")
