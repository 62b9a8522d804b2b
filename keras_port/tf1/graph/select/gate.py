"""The one place where operations are handed to TensorFlow.

Whatever a graph holds passes here: an operation that is not let in raises an
error, and everything but its type, its inputs and its own attributes is
dropped. So no caller can forget it.
"""

from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.select.let_in import LET_IN
from keras_port.tf1.graph.select.let_in import explain_attributes

# Tells TensorFlow that an operation has a gradient of its own.
CUSTOM_GRADIENT = "_gradient_op_type"


def import_operations(
    graph: protos.GraphDef,
    input_map: Mapping[str, tf.Tensor] | None = None,
    *,
    return_elements: Sequence[str],
    name: str = "",
) -> list[tf.Operation | tf.Tensor]:
    """Adds operations to the graph that is open, if they are let in.

    Args:
        graph: The operations. Its functions are not added: whatever calls one
            is traced, or is a placeholder.
        input_map: The tensors that replace inputs, by key. Defaults to `None`:
            no inputs are replaced.
        return_elements: Names of the operations, or keys of the tensors, to
            return.
        name: Scope of the operations. Defaults to `""`: none.

    Raises:
        ValueError: If an operation is not let in.
    """
    checked = tf.compat.v1.GraphDef()
    checked.versions.CopyFrom(graph.versions)
    for node in graph.node:
        checked.node.append(check_operation(node))
    made: list[tf.Operation | tf.Tensor] = tf.graph_util.import_graph_def(
        checked,
        input_map=dict(input_map or {}),
        return_elements=list(return_elements),
        name=name,
    )
    return made


def check_operation(node: protos.NodeDef) -> protos.NodeDef:
    """Returns what TensorFlow may see of an operation.

    Its device, and attributes that begin with an underscore, name things of the
    machine that made the graph, or ask for other ways to run it.
    """
    problem = (
        explain_attributes(node)
        if is_let_in(node.op)
        else "is not known to `GraphLayer`"
    )
    if problem:
        raise ValueError(
            f"The operation {node.name!r} of type "
            f"{show_name(node.op)} {problem}."
        )
    if calls_function(node):
        raise ValueError(
            f"The operation {node.name!r} of type {node.op} calls a "
            "function, which is traced and never imported."
        )
    checked = tf.compat.v1.NodeDef(name=node.name, op=node.op)
    checked.input.extend(node.input)
    for name, value in node.attr.items():
        if not name.startswith("_") or name == CUSTOM_GRADIENT:
            checked.attr[name].CopyFrom(value)
    return checked


def is_let_in(op: str) -> bool:
    """Returns whether TensorFlow may see operations of a type."""
    return op in LET_IN or op == "Placeholder"


def calls_function(node: protos.NodeDef) -> bool:
    """Returns whether an attribute of an operation names a function."""
    return any(
        value.HasField("func") or value.list.func
        for value in node.attr.values()
    )
