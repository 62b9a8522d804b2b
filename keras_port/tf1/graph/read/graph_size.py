"""Checks the sizes in a graph before it allocates memory."""

import math

import tensorflow as tf

from keras_port.tf1.graph.read.protos import GraphDef
from keras_port.tf1.graph.read.protos import TensorProto

MAX_OPERATIONS = 500_000
MAX_NAME = 4096
# For all constants of a graph together, as they are in memory.
MAX_CONSTANT_BYTES = 2**30


def check_constants(graph: GraphDef, where: str) -> None:
    """Raises an error if a graph would take too much memory.

    A constant of a few bytes may claim that its one value fills a huge shape.

    Args:
        graph: The graph.
        where: What holds the graph, to begin the message with.
    """
    check_operations(graph, where)
    total = 0
    for nodes in [graph.node, *(f.node_def for f in graph.library.function)]:
        for node in nodes:
            # Any attribute may hold a tensor, not only that of a `Const`.
            for attribute in node.attr.values():
                for tensor in [attribute.tensor, *attribute.list.tensor]:
                    total += count_bytes(tensor, node.name, where)
                if total > MAX_CONSTANT_BYTES:
                    raise ValueError(
                        f"{where}: the constants up to "
                        f"{node.name!r} take "
                        f"{total:,} bytes; at most {MAX_CONSTANT_BYTES:,} are "
                        "allowed. The file is damaged or malicious."
                    )


def check_operations(graph: GraphDef, where: str) -> None:
    """Raises an error if a graph is larger than any model is.

    A file of 30 MB can hold a million operations, which take 4 GB here.
    """
    parts = [graph.node, *(one.node_def for one in graph.library.function)]
    count = sum(map(len, parts))
    if count > MAX_OPERATIONS:
        raise ValueError(
            f"{where}: the graph has {count:,} operations; at most "
            f"{MAX_OPERATIONS:,} are allowed."
        )
    longest = max(
        (len(node.name) for part in parts for node in part), default=0
    )
    if longest > MAX_NAME:
        raise ValueError(
            f"{where}: the name of an operation has {longest:,} characters; "
            f"at most {MAX_NAME:,} are allowed."
        )


def count_bytes(tensor: TensorProto, name: str, where: str) -> int:
    """Returns how many bytes of memory a constant claims."""
    if not tensor.dtype:
        return 0
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    try:
        item = tf.as_dtype(tensor.dtype).base_dtype.size or 8
    except TypeError as error:
        raise ValueError(
            f"{where}: the type of the constant {name!r} is unknown. "
            f"Received: dtype={tensor.dtype}."
        ) from error
    if any(size < 0 for size in sizes) or tensor.tensor_shape.unknown_rank:
        raise ValueError(
            f"{where}: the shape of the constant {name!r} is not complete."
        )
    claimed: int = item * math.prod(sizes) + tensor.ByteSize()
    return claimed
