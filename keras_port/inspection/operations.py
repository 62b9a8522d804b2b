"""Lists the operations of a traced graph as records."""

from typing import Any

import tensorflow as tf

from keras_port.inspection.records import GraphOperation
from keras_port.inspection.records import Shape
from keras_port.inspection.traced import Traced

# The longest text of a setting that is shown.
MAX_ATTRIBUTE_LENGTH = 200


def list_operations(traced: Traced) -> list[GraphOperation]:
    """Returns the operations of a graph, inputs before what uses them."""
    original = {clean: old for old, clean in traced.clean.names.items()}
    graph = traced.function.graph
    found = []
    for node in traced.clean.graph_def.node:
        if node.name in traced.outputs:
            tensors = [traced.outputs[node.name]]
        else:
            tensors = graph.get_operation_by_name(original[node.name]).outputs
        values = tensors
        if node.op == "VarHandleOp":
            values = [traced.clean.variables[node.name]]
        found.append(
            GraphOperation(
                name=node.name,
                type=node.op,
                inputs=tuple(
                    tensor_name(name)
                    for name in node.input
                    if not name.startswith("^")
                ),
                outputs=tuple(
                    f"{node.name}:{index}" for index in range(len(tensors))
                ),
                shapes=tuple(plain_shape(value.shape) for value in values),
                dtypes=tuple(tf.as_dtype(v.dtype).name for v in values),
                control_inputs=tuple(
                    name[1:] for name in node.input if name.startswith("^")
                ),
                attributes=attributes(node),
            )
        )
    return found


def tensor_name(name: str) -> str:
    """Returns "a:0" for "a", as a graph file calls a first output."""
    return name if ":" in name else f"{name}:0"


def plain_shape(shape: Any) -> Shape:
    """Returns a shape as a tuple with `None` for open dimensions."""
    shape = tf.TensorShape(shape)
    return None if shape.rank is None else tuple(shape.as_list())


def attributes(node: Any) -> dict[str, str]:
    """Returns the settings of a node that mean something to a reader."""
    found = {}
    for key in sorted(node.attr):
        text = attribute_text(node.attr[key])
        if not key.startswith("_") and text:
            if len(text) > MAX_ATTRIBUTE_LENGTH:
                text = text[:MAX_ATTRIBUTE_LENGTH] + "..."
            found[key] = text
    return found


def attribute_text(value: Any) -> str:
    """Returns one setting of a node as text, "" if it is empty."""
    kind = value.WhichOneof("value")
    if kind == "tensor":
        return " ".join(str(tf.make_ndarray(value.tensor)).split())
    if kind == "type":
        return str(tf.as_dtype(value.type).name)
    if kind == "s":
        return str(value.s.decode("utf-8", "replace"))
    if kind == "func":
        return str(value.func.name)
    if kind == "shape":
        return str(plain_shape(value.shape))
    if kind == "list":
        items = value.list
        return ", ".join(
            str(item) for field in (items.i, items.f, items.b) for item in field
        )
    return str(getattr(value, kind)) if kind in ("i", "f", "b") else ""
