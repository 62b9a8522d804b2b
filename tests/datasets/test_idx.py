"""Every IDX file is read right, and every other file is one clear error."""

from collections.abc import Callable
import gzip
import io
import math
import mmap
import os
from pathlib import Path
import shutil
import subprocess
import threading
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from keras_port.datasets import read_idx
from keras_port.datasets._mapped import is_mapped
from tests.datasets.idx_files import CODES
from tests.datasets.idx_files import header
from tests.datasets.idx_files import idx_bytes

MIB = 1 << 20
GZIP_HEADER_BYTES = 10
FUZZ_FILES = int(os.environ.get("KERAS_PORT_FUZZ_FILES", "500"))
PACKED = pytest.mark.parametrize("packed", [False, True], ids=["raw", "gz"])
SOUND = idx_bytes(np.arange(6, dtype=np.int16).reshape(2, 3))


def pack(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def save(path: Path, content: bytes, packed: bool = False) -> Path:
    path.write_bytes(pack(content) if packed else content)
    return path


def refusal(path: Path, **options: Any) -> str:
    """Returns the message of the `ValueError`, which names the file."""
    with pytest.raises(ValueError, match=path.name) as caught:
        read_idx(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def peak_of(function: Callable[[], Any]) -> int:
    """Returns the most bytes that were held at once during a call."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Sound files


@PACKED
@pytest.mark.parametrize("kind", CODES)
def test_each_element_type_comes_back_in_native_order(
    tmp_path: Path, kind: str, packed: bool
) -> None:
    array = np.array([[0, 1, 2], [100, 127, 3]], dtype=kind)
    if kind[0] != "u":
        array[0, 0] = -77
    if kind[0] == "f":
        array[0, 1] = 0.1
    path = save(tmp_path / "data", idx_bytes(array), packed)

    read = read_idx(path)

    np.testing.assert_array_equal(read, array, strict=True)
    assert read.dtype.isnative
    read += 1


def test_the_layout_is_that_of_the_published_format(tmp_path: Path) -> None:
    # Written out, so that a mistake shared by reader and writer would show.
    content = bytes([0, 0, 0x0C, 2, 0, 0, 0, 1, 0, 0, 0, 2])
    content += bytes([0, 0, 1, 2, 255, 255, 255, 254])
    read = read_idx(save(tmp_path / "data", content))
    np.testing.assert_array_equal(read, np.array([[258, -2]], np.int32))


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 32])
def test_each_number_of_dimensions_is_read(tmp_path: Path, rank: int) -> None:
    shape = (2, 3, 1, 2)[:rank] + (1,) * (rank - 4)
    array = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(
        read_idx(save(tmp_path / "data", idx_bytes(array))), array, strict=True
    )


@PACKED
@pytest.mark.parametrize("name", ["data", "data.gz", "data.txt"])
def test_compression_is_told_from_the_content(
    tmp_path: Path, name: str, packed: bool
) -> None:
    assert read_idx(save(tmp_path / name, SOUND, packed)).shape == (2, 3)


def test_text_and_path_objects_name_a_file(tmp_path: Path) -> None:
    path = save(tmp_path / "data", SOUND)
    assert read_idx(str(path)).shape == read_idx(path).shape == (2, 3)


def test_a_file_of_several_gzip_members_is_read(tmp_path: Path) -> None:
    # `cat a.gz b.gz` and parallel compressors make such files.
    path = tmp_path / "data.gz"
    path.write_bytes(pack(SOUND[:9]) + pack(SOUND[9:]))
    assert read_idx(path).shape == (2, 3)


@PACKED
def test_more_than_one_chunk_is_read(tmp_path: Path, packed: bool) -> None:
    generator = np.random.default_rng(0)
    array = generator.integers(0, 256, (3, MIB), dtype=np.uint8)
    path = save(tmp_path / "data", idx_bytes(array), packed)
    np.testing.assert_array_equal(read_idx(path), array)


# Mapped files


@pytest.mark.parametrize("kind", CODES)
def test_a_mapped_file_has_the_elements_in_the_files_order(
    tmp_path: Path, kind: str
) -> None:
    array = np.array([[0, 1, 2], [100, 127, 3]], dtype=kind)
    if kind[0] == "f":
        array[0, 1] = 0.1
    path = save(tmp_path / "data", idx_bytes(array))
    mapped = read_idx(path, mmap=True)
    assert isinstance(mapped, np.memmap)
    assert is_mapped(mapped)
    assert mapped.dtype == array.dtype.newbyteorder(">")
    np.testing.assert_array_equal(mapped, read_idx(path))
    np.testing.assert_array_equal(mapped[1:].astype(kind), array[1:])
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 1


@pytest.mark.parametrize("rank", [1, 2, 5, 32])
def test_a_mapped_file_may_have_any_number_of_dimensions(
    tmp_path: Path, rank: int
) -> None:
    array = np.arange(3, dtype=np.uint8).reshape(3, *[1] * (rank - 1))
    path = save(tmp_path / "data", idx_bytes(array))
    np.testing.assert_array_equal(read_idx(path, mmap=True), array, strict=True)


def test_a_mapped_file_is_not_read(tmp_path: Path) -> None:
    # Two TiB of which all but the header is a hole.
    path = save(tmp_path / "data", header(8, 2**21, 1024, 1024))
    try:
        os.truncate(path, 16 + 2**41)
    except OSError:
        pytest.skip("no file may be so large here")
    shapes: list[tuple[int, ...]] = []
    used = peak_of(lambda: shapes.append(read_idx(path, mmap=True).shape))
    assert shapes == [(2**21, 1024, 1024)]
    assert used < MIB // 4


@pytest.mark.parametrize("name", ["my data.gz", "my data"])
def test_a_compressed_file_is_not_mapped_but_unpacked_as_told(
    tmp_path: Path, name: str
) -> None:
    path = save(tmp_path / name, SOUND, packed=True)
    message = refusal(path, mmap=True)
    told, command = message.split("Decompress it first: ")
    assert "cannot be mapped (`mmap=True`)" in told
    if shutil.which("gunzip") is None:
        pytest.skip("no gunzip here")
    subprocess.run(command, shell=True, check=True)
    assert read_idx(tmp_path / "my data", mmap=True).shape == (2, 3)
    assert (tmp_path / "my data.gz").exists()


def test_copies_and_arrays_in_memory_are_not_mapped(tmp_path: Path) -> None:
    path = save(tmp_path / "data", SOUND)
    mapped = read_idx(path, mmap=True)
    views = (mapped[1:], mapped.T, np.asarray(mapped)[::-1].reshape(3, 2)[1:])
    assert [is_mapped(view) for view in views] == [True, True, False]
    assert is_mapped(np.asarray(mapped)[::-1])
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    assert is_mapped(np.frombuffer(content, np.uint8))
    for array in (mapped.copy(), mapped[[0, 1]], mapped + 1, read_idx(path)):
        assert not is_mapped(array)


# Malformed content

MALFORMED = {
    "empty": (b"", "empty"),
    "one zero": (b"\0", "not an IDX file"),
    "three bytes": (b"\0\0\x08", "not an IDX file"),
    "text": (
        b"version 1 of a pointer",
        "it begins with b'version 1 of a pointer'",
    ),
    "no zeros": (b"\x01" + SOUND[1:], "two zero bytes"),
    "type 0": (header(0, 1) + b"\0", "Received: 0x00"),
    "type 10": (header(10, 1) + b"\0", "Received: 0x0A"),
    "type 255": (header(255, 1) + b"\0", "Received: 0xFF"),
    "rank 0": (header(8) + b"\0", "announces 0 dimensions"),
    "rank 33": (
        header(8, *[1] * 33) + b"\0",
        "33 dimensions, expected 1 to 32",
    ),
    "rank 255": (header(8, *[1] * 255) + b"\0", "255 dimensions"),
    "half a header": (SOUND[:10], "ends within the header"),
    "no dimension": (SOUND[:4], "ends within the header"),
    "no elements": (header(8, 0, 28, 28), "announces no data"),
    "zero times huge": (header(8, 0, *[2**32 - 1] * 9), "announces no data"),
    "one byte short": (SOUND[:-1], "12 bytes of data, shape (2, 3)"),
    "header only": (SOUND[:12], "12 bytes of data, shape (2, 3)"),
    "one byte more": (SOUND + b"\0", "12 bytes of data, shape (2, 3)"),
    "twice": (SOUND + SOUND, "12 bytes of data, shape (2, 3)"),
    "overflow of 32 bits": (header(8, 65536, 65536), "4294967296 bytes"),
    "overflow of 64 bits": (header(14, *[2**32 - 1] * 3), "bytes of data"),
    "overflow to 0": (header(8, *[2**31] * 32), "bytes of data"),
}


@PACKED
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_clear_error(
    tmp_path: Path, case: str, packed: bool
) -> None:
    content, expected = MALFORMED[case]
    path = save(tmp_path / "data", content, packed)
    assert expected in refusal(path)
    # To the word the same, unless it is compressed.
    mapped = refusal(path, mmap=True)
    assert (
        ("cannot be mapped" in mapped) if packed else (mapped == refusal(path))
    )


@PACKED
@pytest.mark.parametrize(
    ("content", "held"), [(SOUND[:-1], "11"), (SOUND + b"\0", "13")]
)
def test_the_error_says_how_much_the_file_holds(
    tmp_path: Path, content: bytes, held: str, packed: bool
) -> None:
    message = refusal(save(tmp_path / "data", content, packed))
    # How much more a compressed file holds is not looked at.
    shown = "more" if packed and len(content) > len(SOUND) else held
    assert f"the file holds {shown}" in message


@pytest.mark.fault("B67")
@PACKED
@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html>\n<html><body>404</body></html>",
        b"<html>",
        b"\n\n  <HTML><head></head></HTML>",
        b"\xef\xbb\xbf<!doctype html>",
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    ],
)
def test_a_web_page_saved_as_data_is_called_one(
    tmp_path: Path, page: bytes, packed: bool
) -> None:
    message = refusal(save(tmp_path / "train-images.gz", page, packed))
    assert "HTML" in message
    assert "download failed" in message


# Damaged compression


@pytest.mark.fault("B66")
@pytest.mark.parametrize("size", [-1, 100, 1, 0])
def test_a_cut_gz_file_is_one_clear_error(tmp_path: Path, size: int) -> None:
    # Noise stays longer than the cuts when it is packed.
    noise = np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)
    whole = pack(idx_bytes(noise))
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(whole[:size])
    message = refusal(path)
    # One byte is too few to know gzip by.
    assert (
        "not an IDX file" if size == 1 else "Download the file again"
    ) in message


@pytest.mark.fault("B66")
def test_every_cut_of_a_gz_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.gz"
    whole = pack(SOUND)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        refusal(path)


@pytest.mark.fault("B68")
def test_every_flipped_bit_behind_the_gzip_header_is_found(
    tmp_path: Path,
) -> None:
    path = tmp_path / "data.gz"
    whole = pack(SOUND)
    for bit in range(8 * GZIP_HEADER_BYTES, 8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refusal(path)


@pytest.mark.parametrize("offset", [-8, -4], ids=["checksum", "length"])
def test_a_wrong_gzip_trailer_is_called_damage(
    tmp_path: Path, offset: int
) -> None:
    damaged = bytearray(pack(SOUND))
    damaged[offset] ^= 1
    path = tmp_path / "data.gz"
    path.write_bytes(damaged)
    assert "gzip data are damaged" in refusal(path)


def test_bytes_behind_the_gzip_data_are_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "data.gz"
    path.write_bytes(pack(SOUND) + b"garbage")
    assert "gzip data are damaged" in refusal(path)


def test_deflate_garbage_is_called_damage(tmp_path: Path) -> None:
    path = tmp_path / "data.gz"
    path.write_bytes(pack(SOUND)[:GZIP_HEADER_BYTES] + b"\xff" * 50)
    assert "gzip data are damaged" in refusal(path)


# Memory


def test_a_raw_file_that_claims_gigabytes_takes_no_memory(
    tmp_path: Path,
) -> None:
    path = save(tmp_path / "data", header(8, 60_000, 4096, 4096) + b"\0" * 9)
    assert peak_of(lambda: refusal(path)) < MIB // 4


def test_a_gz_file_that_claims_gigabytes_takes_no_memory(
    tmp_path: Path,
) -> None:
    content = header(8, 60_000, 4096, 4096) + b"\0" * 9
    path = save(tmp_path / "data.gz", content, packed=True)
    assert peak_of(lambda: refusal(path)) < MIB // 4
    assert "holds at most" in refusal(path)


def test_a_possible_claim_takes_no_more_than_the_file_gives(
    tmp_path: Path,
) -> None:
    # Noise does not compress: 1 MiB of it could be a packed gigabyte.
    noise = np.random.default_rng(0).bytes(MIB)
    content = header(8, 1000, 1024, 1024) + noise
    path = save(tmp_path / "data.gz", content, packed=True)
    assert peak_of(lambda: refusal(path)) < 4 * MIB
    assert f"holds {MIB}." in refusal(path)


def test_a_claim_at_the_limit_of_compression_is_read(tmp_path: Path) -> None:
    zeros = np.zeros(64 * MIB, np.uint8)
    packed = pack(idx_bytes(zeros))
    assert len(zeros) / len(packed) > 1000, "not near the limit of 1032"
    path = tmp_path / "data.gz"
    path.write_bytes(packed)
    assert read_idx(path).shape == zeros.shape


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "data.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header(8, 10))
        for _ in range(128):
            file.write(bytes(MIB))
    assert peak_of(lambda: refusal(path)) < 2 * MIB
    assert "holds more" in refusal(path)


def test_a_gzip_bomb_without_idx_is_not_unpacked(tmp_path: Path) -> None:
    path = save(tmp_path / "data.gz", bytes(64 * MIB), packed=True)
    assert peak_of(lambda: refusal(path)) < 2 * MIB


# What is no file


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a directory"):
        read_idx(tmp_path)


def test_links_are_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(save(tmp_path / "data", SOUND))
    assert read_idx(link).shape == (2, 3)
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        read_idx(link)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_refused_and_not_waited_for(
    tmp_path: Path, linked: bool
) -> None:
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    messages: list[str] = []
    thread = threading.Thread(
        target=lambda: messages.append(refusal(path)), daemon=True
    )
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive(), "waits for a writer"
    assert "not a regular file" in messages[0]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices here")
def test_a_device_is_refused() -> None:
    with pytest.raises(ValueError, match="not a regular file"):
        read_idx("/dev/zero")


# Mutations


def random_array(generator: np.random.Generator) -> npt.NDArray[Any]:
    """Returns a small array of a random type and shape."""
    kind = generator.choice(list(CODES))
    shape = generator.integers(1, 6, size=generator.integers(1, 5))
    return generator.integers(0, 100, shape).astype(kind)


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Returns the content with one kind of damage."""
    data = bytearray(content)
    position = int(generator.integers(len(data)))
    count = int(generator.integers(1, 9))
    match generator.integers(6):
        case 0:  # flipped bits
            for place in generator.integers(8 * len(data), size=count):
                data[place // 8] ^= 1 << place % 8
        case 1:  # a cut
            del data[position:]
        case 2:  # an insertion
            data[position:position] = generator.bytes(count)
        case 3:  # a deletion
            del data[position : position + count]
        case 4:  # another header
            place = min(position % 20, len(data) - 1)
            data[place] = int(generator.choice([0, 1, 2, 3, 127, 128, 255]))
        case _:  # something else altogether
            data[position:] = generator.bytes(int(generator.integers(64)))
    return bytes(data)


def mutated_file(generator: np.random.Generator) -> bytes:
    """Returns a damaged IDX file, raw or packed, before or after packing."""
    content = idx_bytes(random_array(generator))
    match generator.integers(4):
        case 0:
            return mutate(content, generator)
        case 1:
            return mutate(pack(content), generator)
        case 2:
            return pack(mutate(content, generator))
        case _:
            return mutate(mutate(pack(content), generator) or b"\0", generator)


def unpacked(content: bytes) -> bytes:
    """Returns what a file holds by the standard library's reading."""
    if content[:2] != b"\x1f\x8b":
        return content
    with gzip.open(io.BytesIO(content)) as file:
        return file.read()


@pytest.mark.fault("B68")
def test_a_mutated_file_loads_or_is_a_clear_error(tmp_path: Path) -> None:
    generator = np.random.default_rng(68)
    path = tmp_path / "data"
    loaded = 0
    refused: set[bool] = set()
    for number in range(FUZZ_FILES):
        content = mutated_file(generator)
        path.write_bytes(content)
        try:
            array = read_idx(path)
        except ValueError as error:
            refused.add(str(error).startswith(f"{path}: "))
            refusal(path, mmap=True)
            continue
        if content.startswith(b"\x1f\x8b"):
            assert "gunzip" in refusal(path, mmap=True)
        else:
            mapped = read_idx(path, mmap=True)
            assert np.array_equal(mapped, array, equal_nan=True), number
        loaded += 1
        # What loads is exactly what the file says, no byte more or less.
        assert idx_bytes(array) == unpacked(content), number
    assert 0 < loaded < FUZZ_FILES / 2
    assert refused == {True}, "each error names the file first"
