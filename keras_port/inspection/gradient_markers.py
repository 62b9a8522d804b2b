"""Finds the operations by which TensorFlow marks a gradient of one's own."""

from collections.abc import Collection
from collections.abc import Iterable

import tensorflow as tf

# TensorFlow names the gradient that `tf.custom_gradient` registers so.
PREFIX = b"CustomGradient-"


def marked_inputs(
    operations: Iterable[tf.Operation], kept: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Returns what each marker passes on, by the marker's name.

    `tf.custom_gradient` leads the results and the arguments of a function
    through one `IdentityN`, which computes nothing and hides from a reader
    where a value comes from.

    Args:
        operations: Those of a graph.
        kept: Names of markers that are left where they are.

    Returns:
        Names of tensors, one for each output of the marker.
    """
    return {
        operation.name: tuple(tensor.name for tensor in operation.inputs)
        for operation in operations
        if is_marker(operation) and operation.name not in kept
    }


def is_marker(operation: tf.Operation) -> bool:
    """Tells the `IdentityN` of a gradient of one's own."""
    if operation.type != "IdentityN":
        return False
    proto = operation.node_def
    return bool(proto.attr["_gradient_op_type"].s.startswith(PREFIX))


def without_markers(name: str, passed: dict[str, tuple[str, ...]]) -> str:
    """Returns the name of the input, `a`, `a:1` or `^a`, behind all markers."""
    operation, _, index = name.removeprefix("^").partition(":")
    while operation in passed:
        source = passed[operation][int(index or 0)]
        operation, _, index = source.partition(":")
        name = f"^{operation}" if name.startswith("^") else source
    return name.removesuffix(":0")
