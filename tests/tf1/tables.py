"""Writes the `.index` of a checkpoint byte by byte, also one that is broken."""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
import struct

POLYNOMIAL = 0x82F63B78
MAGIC = 0xDB4775248B80FB57


def checksum(content: bytes) -> int:
    """Returns the checksum of LevelDB."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number: int) -> bytes:
    """Returns a whole number of variable length."""
    number &= (1 << 64) - 1
    made = b""
    while number > 127:
        made += bytes([number & 127 | 128])
        number >>= 7
    return made + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    """Returns a field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def header(shards: int = 1) -> bytes:
    """Returns the header of an index."""
    return field(1, shards) + field(3, field(1, 1))


def entry(
    *,
    dtype: int = 1,
    shape: Sequence[int] = (),
    shard: int = 0,
    offset: int = 0,
    size: int = 4,
    unknown: bool = False,
    parts: Sequence[Sequence[tuple[int, int]]] = (),
) -> bytes:
    """Returns an entry of an index, a float32 of no axes by default."""
    dims = b"".join(field(2, field(1, one)) for one in shape)
    made = field(1, dtype) + field(2, dims + field(3, int(unknown)))
    made += field(3, shard) + field(4, offset) + field(5, size)
    for part in parts:
        extents = (field(1, start) + field(2, count) for start, count in part)
        made += field(7, b"".join(field(1, one) for one in extents))
    return made


def block(
    items: Sequence[tuple[bytes, bytes]], restarts: Sequence[int] = (0,)
) -> bytes:
    """Returns a block of a table."""
    made = b"".join(
        varint(0) + varint(len(key)) + varint(len(value)) + key + value
        for key, value in items
    )
    return made + struct.pack(
        f"<{len(restarts) + 1}I", *restarts, len(restarts)
    )


def compress(content: bytes) -> bytes:
    """Returns what Snappy would read, without making it smaller."""
    size = len(content) - 1
    return varint(len(content)) + b"\xf4" + struct.pack("<H", size) + content


def make_from_bytes(
    values: Mapping[bytes, bytes],
    *,
    restarts: Sequence[int] = (0,),
    compression: int = 0,
) -> bytes:
    """Returns a table."""
    made = b""

    def put(content: bytes) -> bytes:
        nonlocal made
        packed = compress(content) if compression == 1 else content
        handle = varint(len(made)) + varint(len(packed))
        packed += bytes([compression])
        made += packed + struct.pack("<I", checksum(packed))
        return handle

    place = put(block(sorted(values.items()), restarts))
    empty = put(block([]))
    index = put(block([(max(values) + b"\xff", place)]))
    return made + (empty + index).ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def make(
    values: Mapping[str, bytes],
    *,
    restarts: Sequence[int] = (0,),
    compression: int = 0,
) -> bytes:
    """Returns a table, with texts as keys."""
    return make_from_bytes(
        {key.encode(): value for key, value in values.items()},
        restarts=restarts,
        compression=compression,
    )


def write(
    prefix: Path, values: Mapping[str, bytes], data: bytes = b"\0" * 4
) -> None:
    """Writes a checkpoint with these entries."""
    content = make({"": header(), **values})
    prefix.with_name(f"{prefix.name}.index").write_bytes(content)
    name = f"{prefix.name}.data-00000-of-00001"
    prefix.with_name(name).write_bytes(data)
