"""Checks a checkpoint's `.index` before TensorFlow's reader sees it.

That reader ends the process, without an exception, if an entry cannot be read
or has an impossible shape. So the file is read here first: it is a table of
LevelDB, whose values are protocol buffers. What TensorFlow's Savers write
passes, and anything else is an error.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import itertools
import math
import os
import pathlib
import struct

import tensorflow as tf

from keras_port._support import open_file
from keras_port._support import read_file
from keras_port._support import show_name

# An index has about 100 bytes for every variable.
MAX_BYTES = 1 << 28
MAX_NAME = 4096
# TensorFlow ends the process for a shape with more axes.
MAX_AXES = 254
MAX_ELEMENTS = 1 << 62
MAX_SHARDS = 100_000
_FOOTER = 48
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_U32 = struct.Struct("<I")
# After every block: one byte for its compression, and a checksum.
_TRAILER = 5
_SNAPPY = 1
# Snappy makes nothing smaller than this.
_MAX_RATIO = 64
# In a whole number of a protocol buffer.
_MAX_VARINT = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a checkpoint holds a value.

    Args:
        dtype: Its type.
        shape: Its shape.
        shard: Number of its `.data` file.
        offset: Its first byte there.
        size: Number of its bytes.
        slices: The parts in which it is stored instead: the start and the
            length of every axis, -1 for a whole axis.
    """

    dtype: tf.DType
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    slices: tuple[tuple[tuple[int, int], ...], ...]


@dataclasses.dataclass(frozen=True)
class IndexFile:
    """The entries of an index.

    Args:
        prefix: Prefix of the checkpoint.
        shards: Number of its `.data` files.
        entries: The entries, by their keys.
    """

    prefix: pathlib.Path
    shards: int
    entries: dict[bytes, Entry]

    def check_value(self, name: str) -> None:
        """Checks that the `.data` files can hold a value.

        Raises:
            FileNotFoundError: If a file is missing.
            PointerError: If a file is a pointer of Git LFS or git-annex.
            ValueError: If a file is too short.
        """
        key = name.encode()
        entry = self.entries.get(key)
        if entry is None:
            return
        parts = [self.entries[encode_slice(key, one)] for one in entry.slices]
        for part in parts or [entry]:
            path = add_suffix(
                self.prefix, f".data-{part.shard:05}-of-{self.shards:05}"
            )
            if not path.exists():
                raise FileNotFoundError(
                    f"There is no {show_name(os.fspath(path), max_length=1000)}"
                    ", which holds the values; the `.index` file has only their"
                    " names and shapes. Copy it from where the `.index` file "
                    "is from."
                )
            with open_file(path) as file:
                there = file.seek(0, 2)
                if part.offset + part.size > there:
                    raise ValueError(
                        f"it needs {part.offset + part.size:,} bytes of "
                        f"{show_name(path.name)}, which has {there:,}"
                    )
                if part.dtype == tf.string:
                    file.seek(part.offset)
                    check_texts(file.read(part.size), math.prod(part.shape))


def check_texts(content: bytes, count: int) -> None:
    """Raises `ValueError` if texts claim more bytes than are stored.

    Args:
        content: The length of every text, a checksum, and the texts.
        count: Number of texts.
    """
    position, total = 0, 0
    for _ in range(count):
        if position >= len(content):
            raise ValueError("it is damaged")
        length, position = read_varint(content, position)
        total += length
    if position + total > len(content):
        raise ValueError(
            f"its texts claim {total:,} bytes, of {len(content):,} stored"
        )


def add_suffix(prefix: pathlib.Path, suffix: str) -> pathlib.Path:
    """Returns the path of one of the files of a checkpoint."""
    if is_stemless(prefix):
        return prefix / suffix
    return prefix.with_name(f"{prefix.name}{suffix}")


def is_stemless(prefix: pathlib.Path) -> bool:
    """Returns whether a prefix is a folder with `.index`, `.meta` and so on.

    `Saver.save(session, "model/")` writes files of which nothing is left
    without the suffix.
    """
    return (prefix / ".index").is_file() and not prefix.with_name(
        f"{prefix.name}.index"
    ).is_file()


def read_index(prefix: pathlib.Path) -> IndexFile:
    """Returns the entries of the index of a checkpoint, all checked.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If it is not an index that TensorFlow can read.
    """
    content = read_file(add_suffix(prefix, ".index"), max_bytes=MAX_BYTES)
    try:
        values = dict(read_table(content))
        shards = check_header(values.pop(b"", b""))
        entries = {}
        for key, value in values.items():
            try:
                entries[key] = parse_entry(value, shards)
            except ValueError as error:
                shown = show_name(key.decode("utf-8", "backslashreplace"))
                raise ValueError(f"the entry {shown!r} {error}") from error
        for key, entry in entries.items():
            check_slices(key, entry, entries)
    except (IndexError, struct.error) as error:
        raise ValueError("its index is cut or damaged") from error
    return IndexFile(prefix, shards, entries)


def read_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a table of LevelDB.

    Raises:
        ValueError: If the table is damaged.
    """
    if len(content) < _FOOTER or content[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("its index does not end as one of TensorFlow does")
    footer = content[-_FOOTER:]
    _, position = read_handle(footer, 0)
    handle, _ = read_handle(footer, position)
    last: bytes | None = None
    for _, place in read_block(content, handle):
        inner, end = read_handle(place, 0)
        if end != len(place):
            raise ValueError("its index is damaged")
        for key, value in read_block(content, inner):
            if last is not None and key <= last:
                raise ValueError("the names in its index are not in order")
            if len(key) > MAX_NAME:
                raise ValueError(
                    f"a name in its index has {len(key):,} bytes, more than "
                    f"{MAX_NAME:,}"
                )
            yield key, value
            last = key


def read_handle(content: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Returns the place and the size of a block, and where the next one is."""
    start, position = read_varint(content, position)
    size, position = read_varint(content, position)
    return (start, size), position


def read_block(
    content: bytes, handle: tuple[int, int]
) -> list[tuple[bytes, bytes]]:
    """Returns the keys and values of one block."""
    start, size = handle
    if start + size + _TRAILER > len(content) - _FOOTER:
        raise ValueError("a part of its index lies outside of the file")
    block = content[start : start + size]
    compression = content[start + size]
    if compression == _SNAPPY:
        block = unpack_snappy(block)
    elif compression:
        raise ValueError("its index is compressed in a way that is not known")
    (count,) = _U32.unpack_from(block, len(block) - _U32.size)
    end = len(block) - _U32.size * (count + 1)
    if not count or end < 0:
        raise ValueError("its index is damaged")
    restarts = struct.unpack_from(f"<{count}I", block, end)
    entries, starts = [], {end} if not end else set()
    key, position = b"", 0
    while position < end:
        first = position
        shared, position = read_varint(block, position)
        own, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or position + own + length > end:
            raise ValueError("its index is damaged")
        if not shared:
            starts.add(first)
        key = key[:shared] + block[position : position + own]
        position += own
        entries.append((key, block[position : position + length]))
        position += length
    # TensorFlow jumps to these, so they must be where an entry begins.
    if restarts[0] or not starts.issuperset(restarts):
        raise ValueError("its index is damaged")
    if any(a >= b for a, b in itertools.pairwise(restarts)):
        raise ValueError("its index is damaged")
    return entries


def read_varint(content: bytes, position: int) -> tuple[int, int]:
    """Returns a whole number of variable length, and where it ends."""
    value = 0
    for number in range(_MAX_VARINT):
        byte = content[position]
        position += 1
        value |= (byte & 127) << 7 * number
        if byte < 128:
            return value, position
    raise ValueError("a number in its index is too long")


def unpack_snappy(packed: bytes) -> bytes:
    """Returns the content of a block that was compressed with Snappy.

    Raises:
        ValueError: If it is damaged, or claims to be larger than it can be.
    """
    size, position = read_varint(packed, 0)
    if size > min(len(packed) * _MAX_RATIO, MAX_BYTES):
        raise ValueError("its index claims to be larger than it can be")
    made = bytearray()
    while position < len(packed):
        tag = packed[position]
        position += 1
        if not tag & 3:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                text = packed[position : position + extra]
                length = int.from_bytes(text, "little") + 1
                position += extra
            made += packed[position : position + length]
            position += length
        else:
            if tag & 3 == 1:
                length, width = (tag >> 2 & 7) + 4, 1
                offset = tag >> 5 << 8 | packed[position]
            else:
                length, width = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4
                text = packed[position : position + width]
                offset = int.from_bytes(text, "little")
            position += width
            if not 0 < offset <= len(made):
                raise ValueError("its index is damaged")
            # A copy may overlap what it makes.
            piece = made[len(made) - offset :][:length]
            made += (piece * (length // len(piece) + 1))[:length]
        if len(made) > size:
            break
    if len(made) != size or position != len(packed):
        raise ValueError("its index is damaged")
    return bytes(made)


def read_fields(content: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Yields the number, the kind and the value of fields of a message."""
    position = 0
    while position < len(content):
        tag, position = read_varint(content, position)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == _VARINT:
            value, position = read_varint(content, position)
        elif kind in (_FIXED64, _FIXED32):
            width = 8 if kind == _FIXED64 else 4
            value = content[position : position + width]
            position += width
        elif kind == _BYTES:
            length, position = read_varint(content, position)
            value = content[position : position + length]
            position += length
        else:
            raise ValueError("is damaged")
        if position > len(content) or not number:
            raise ValueError("is damaged")
        yield number, kind, value


@dataclasses.dataclass
class Message:
    """The fields of a message that are read here.

    Args:
        numbers: The last whole number of every field, by its number.
        parts: All messages and texts of every field, by its number.
    """

    numbers: dict[int, int]
    parts: dict[int, list[bytes]]

    def size(self, field: int) -> int:
        """Returns a number that must not be negative."""
        value = self.numbers.get(field, 0)
        if value >= 1 << 63:
            raise ValueError("has a negative size")
        return value

    def signed(self, field: int, default: int = 0) -> int:
        """Returns a number that may be negative."""
        value = self.numbers.get(field, default) & (1 << 64) - 1
        return value - (1 << 64) if value >= 1 << 63 else value


def parse_message(content: bytes, kinds: dict[int, int]) -> Message:
    """Returns the fields of a message.

    Args:
        content: The message.
        kinds: The kind that every field must have, by its number. Others are
            skipped.
    """
    message = Message({}, {})
    for number, kind, value in read_fields(content):
        if kinds.get(number, kind) != kind:
            raise ValueError("is damaged")
        if number not in kinds:
            continue
        if isinstance(value, int):
            message.numbers[number] = value
        else:
            message.parts.setdefault(number, []).append(value)
    return message


def check_header(content: bytes) -> int:
    """Returns the number of `.data` files that a header names."""
    header = parse_message(content, {1: _VARINT, 2: _VARINT, 3: _BYTES})
    shards = header.size(1)
    if not 0 < shards <= MAX_SHARDS:
        raise ValueError(
            f"its index names {shards:,} `.data` files; expected 1 to "
            f"{MAX_SHARDS:,}"
        )
    if header.size(2):
        raise ValueError(
            "it was written by a machine with another order of bytes"
        )
    return shards


def parse_entry(content: bytes, shards: int) -> Entry:
    """Returns an entry.

    Raises:
        ValueError: If TensorFlow could not read it.
    """
    entry = parse_message(
        content,
        {
            1: _VARINT,
            2: _BYTES,
            3: _VARINT,
            4: _VARINT,
            5: _VARINT,
            6: _FIXED32,
            7: _BYTES,
        },
    )
    number = entry.size(1)
    try:
        dtype = tf.as_dtype(number)
    except TypeError as error:
        raise ValueError(f"has the unknown type {number}") from error
    never = (tf.resource, tf.variant)
    if not number or dtype in never or dtype != dtype.base_dtype:
        raise ValueError(f"has the type {dtype.name}, which is never saved")
    shape = parse_shape(entry.parts.get(2, []))
    made = Entry(
        dtype,
        shape,
        entry.size(3),
        entry.size(4),
        entry.size(5),
        tuple(parse_slice(one, shape) for one in entry.parts.get(7, [])),
    )
    if made.shard >= shards:
        raise ValueError(
            f"is in the `.data` file number {made.shard}; there are {shards}"
        )
    if made.offset + made.size > MAX_ELEMENTS:
        raise ValueError("lies outside of every file")
    count = math.prod(shape)
    needed = count if dtype == tf.string else count * dtype.size
    is_right = (
        made.size >= needed if dtype == tf.string else made.size == needed
    )
    if not made.slices and not is_right:
        raise ValueError(
            f"has the shape {shape} and the type {dtype.name}, so {needed:,} "
            f"bytes, but {made.size:,} are stored"
        )
    return made


def parse_shape(messages: Sequence[bytes]) -> tuple[int, ...]:
    """Returns a shape, all sizes of which must be known.

    Args:
        messages: The shape. TensorFlow joins one that comes in several parts.
    """
    parts = [parse_message(one, {2: _BYTES, 3: _VARINT}) for one in messages]
    dims = [dim for part in parts for dim in part.parts.get(2, [])]
    is_unknown = any(part.numbers.get(3) for part in parts)
    if is_unknown or len(dims) > MAX_AXES:
        raise ValueError(
            f"has a shape of {len(dims)} axes, or an unknown one; expected at "
            f"most {MAX_AXES}"
        )
    sizes = tuple(
        parse_message(one, {1: _VARINT, 2: _BYTES}).size(1) for one in dims
    )
    if math.prod(size for size in sizes if size) > MAX_ELEMENTS:
        raise ValueError(f"has the impossible shape {sizes}")
    return sizes


def parse_slice(
    content: bytes, shape: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Returns one part of a value: the start and the length of every axis."""
    extents = []
    for one in parse_message(content, {1: _BYTES}).parts.get(1, []):
        extent = parse_message(one, {1: _VARINT, 2: _VARINT})
        extents.append((extent.size(1), extent.signed(2, -1)))
    if len(extents) != len(shape) or any(
        start + length > size or length < 1
        for (start, length), size in zip(extents, shape, strict=True)
        if (start, length) != (0, -1)
    ):
        raise ValueError(f"has a part {extents} outside of its shape {shape}")
    return tuple(extents)


def check_slices(key: bytes, entry: Entry, entries: dict[bytes, Entry]) -> None:
    """Raises an error unless all parts of a value are there and fit."""
    shown = show_name(key.decode("utf-8", "backslashreplace"))
    if len(set(entry.slices)) < len(entry.slices):
        raise ValueError(f"the entry {shown!r} has the same part twice")
    for one in entry.slices:
        part = entries.get(encode_slice(key, one))
        shape = tuple(
            size if length == -1 else length
            for (_, length), size in zip(one, entry.shape, strict=True)
        )
        if part is None or part.slices or part.dtype != entry.dtype:
            raise ValueError(f"the entry {shown!r} lacks one of its parts")
        if part.shape != shape:
            raise ValueError(
                f"the entry {shown!r} has a part of shape {part.shape}; "
                f"expected {shape}"
            )


def encode_slice(key: bytes, part: tuple[tuple[int, int], ...]) -> bytes:
    """Returns the key under which TensorFlow stores a part of a value."""
    escaped = b"".join(
        {0: b"\x00\xff", 255: b"\xff\x00"}.get(byte, bytes([byte]))
        for byte in key
    )
    rank = len(part)
    count = (rank.bit_length() + 7) // 8
    return b"".join(
        [
            b"\x00",
            escaped,
            b"\x00\x01",
            bytes([count]),
            rank.to_bytes(count, "big"),
            *(encode_signed(number) for pair in part for number in pair),
        ]
    )


def encode_signed(number: int) -> bytes:
    """Returns a number as TensorFlow writes it into a key, in order."""
    bits = (~number if number < 0 else number).bit_length()
    width = bits // 7 + 1
    # As many bits are set as there are bytes.
    mark = ((1 << width) - 1) << 7 * width
    value = (number & (1 << 8 * width) - 1) ^ mark
    return value.to_bytes(width, "big")
