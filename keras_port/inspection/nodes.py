"""Nodes of a graph file: other names, variables and constants."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.inspection.gradient_markers import without_markers

# Captured constants up to this many values are shown with them.
MAX_CONSTANT_SIZE = 1000
# Of use in the process that traced the graph alone; one of them is numbered.
PROCESS_ATTRIBUTES = ("_gradient_op_type", "_user_specified_name")


def renamed(
    function: Any,
    names: Mapping[str, str],
    passed: dict[str, tuple[str, ...]],
) -> tf.compat.v1.GraphDef:
    """Returns the graph of a function with other names for its operations.

    Args:
        function: A concrete function.
        names: New name of each operation; others are left out.
        passed: What each operation that only passes tensors on gets, by name;
            who uses the operation is given its inputs.
    """
    traced = function.graph.as_graph_def(add_shapes=True)
    graph_def = tf.compat.v1.GraphDef()
    graph_def.versions.CopyFrom(traced.versions)
    graph_def.library.CopyFrom(traced.library)
    for old in traced.node:
        if old.name not in names:
            continue
        node = graph_def.node.add()
        node.CopyFrom(old)
        node.name = names[old.name]
        for attribute in PROCESS_ATTRIBUTES:
            node.attr.pop(attribute, None)
        places = [
            f"loc:@{names[place.decode()[5:]]}".encode()
            for place in old.attr["_class"].list.s
            if place.decode()[5:] in names
        ]
        node.attr["_class"].list.s[:] = places
        if not places:
            del node.attr["_class"]
        inputs = [
            renamed_input(without_markers(name, passed), names)
            for name in old.input
        ]
        data = [name for name in inputs if not name.startswith("^")]
        # TensorFlow lists what must run before in no fixed order.
        control = sorted({name for name in inputs if name.startswith("^")})
        node.input[:] = data + [name for name in control if name != "^"]
    return graph_def


def renamed_input(name: str, names: Mapping[str, str]) -> str:
    """Returns an input, `a`, `a:1` or `^a`; "^" for what is left out."""
    if name.startswith("^"):
        return f"^{names.get(name[1:], '')}"
    operation, colon, index = name.partition(":")
    return f"{names[operation]}{colon}{index}"


def make_variable(node: Any, variable: Any) -> None:
    """Turns the placeholder of a variable into a node that is one."""
    node.op = "VarHandleOp"
    shapes = node.attr["_output_shapes"]
    node.attr.clear()
    shape = tf.TensorShape(variable.shape)
    node.attr["dtype"].type = tf.as_dtype(variable.dtype).as_datatype_enum
    node.attr["shape"].shape.CopyFrom(shape.as_proto())
    node.attr["shared_name"].s = node.name.encode()
    node.attr["container"].s = b""
    shapes.Clear()
    shapes.list.shape.add()
    node.attr["_output_shapes"].CopyFrom(shapes)


def make_constant(node: Any, value: Any) -> None:
    """Shows a captured value, unless it is large or of no plain type."""
    if not hasattr(value, "numpy") or value.dtype in (tf.resource, tf.variant):
        return
    if int(np.prod(value.shape)) > MAX_CONSTANT_SIZE:
        return
    node.op = "Const"
    proto = tf.make_tensor_proto(value.numpy(), dtype=value.dtype)
    node.attr["value"].tensor.CopyFrom(proto)
    node.attr.pop("shape", None)
