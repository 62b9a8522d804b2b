"""Makes variables of a frozen graph's constants, so that they can train."""

from collections.abc import Callable
import dataclasses

import numpy as np
import tensorflow as tf

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read.graph_file import GraphFile
from keras_port.tf1.graph.read.nodes import Node
from keras_port.tf1.graph.read.nodes import graph_scope
from keras_port.tf1.graph.read.nodes import operation_name

# The inputs of batch normalization that are means and variances. They follow
# the data and are never trained.
STATISTICS = {
    "FusedBatchNorm": (3, 4),
    "FusedBatchNormV2": (3, 4),
    "FusedBatchNormV3": (3, 4),
    "BatchNormWithGlobalNormalization": (1, 2),
}
# What layers call them, for batch normalization of several operations.
STATISTIC_NAMES = ("moving_mean", "moving_variance")
# What is between a constant and batch normalization, in a condition or not.
PASSES_ON = ("Identity", "Switch")


def make_variables_of_constants(
    source: GraphFile, is_chosen: Callable[[str], bool]
) -> tuple[GraphFile, dict[str, np.ndarray]]:
    """Returns a graph some of whose constants are variables, and their values.

    Args:
        source: The graph. It is changed.
        is_chosen: Whether a constant becomes a variable, by its name.
    """
    values = {}
    graph = source.meta.graph_def
    weights = set(list_weights(source))
    for node in graph.node:
        if node.name in weights and is_chosen(node.name):
            value = tf.make_ndarray(node.attr["value"].tensor)
            values[node.name] = value
            node.op = "VariableV2"
            del node.attr["value"]
            shape = tf.TensorShape(value.shape).as_proto()
            node.attr["shape"].shape.CopyFrom(shape)
    return dataclasses.replace(source, scope=graph_scope(graph)), values


def list_weights(source: GraphFile) -> list[str]:
    """Returns the names of the constants that may have been trained.

    These are the constants of floats with at least one axis, but for the
    means and variances of batch normalization.
    """
    nodes = source.scope.nodes
    statistics = {
        find_constant(node.inputs[number], nodes)
        for node in nodes.values()
        for number in STATISTICS.get(node.op, ())
        if number < len(node.inputs)
    }
    return [
        node.name
        for node in nodes.values()
        if is_weight(node)
        and node.name not in statistics
        and node.name.rpartition("/")[2] not in STATISTIC_NAMES
    ]


def is_weight(node: Node) -> bool:
    """Returns whether an operation is a constant of floats with axes."""
    # To ask for an attribute adds it, so other operations are not asked.
    return (
        node.op == "Const"
        and tf.as_dtype(node.proto.attr["dtype"].type).is_floating
        and bool(node.proto.attr["value"].tensor.tensor_shape.dim)
    )


def find_constant(key: str, nodes: dict[str, Node]) -> str:
    """Returns the name of the operation that a tensor is a copy of."""
    name = operation_name(key)
    seen: set[str] = set()
    while (
        name in nodes
        and name not in seen
        and nodes[name].op in PASSES_ON
        and nodes[name].inputs
    ):
        seen.add(name)
        name = operation_name(nodes[name].inputs[0])
    return name


def has_variables(source: GraphFile) -> bool:
    """Returns whether a graph has variables of its own."""
    nodes = source.scope.nodes.values()
    return any(node.op in operations.VARIABLES for node in nodes)
