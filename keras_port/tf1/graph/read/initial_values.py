"""Reads the initial values of variables, where they are constants.

A `Saver` of some variables leaves the others out, and a session gives them
their initial values.
"""

from collections.abc import Mapping
import math

import numpy as np
import tensorflow as tf

from keras_port.tf1.graph.read.graph_size import MAX_CONSTANT_BYTES
from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import operation_name
from keras_port.tf1.graph.read.protos import VariableDef

ASSIGNS = ("Assign", "AssignVariableOp")
MAX_DEPTH = 20


def find_initial_value(
    name: str, scope: Scope, records: Mapping[str, VariableDef]
) -> np.ndarray | None:
    """Returns the initial value of a variable, `None` if it is no constant.

    Args:
        name: Name of the variable.
        scope: The graph.
        records: TensorFlow's records of the variables, by name.
    """
    if name in records:
        assign = scope.nodes.get(records[name].initializer_name)
    else:
        assign = scope.nodes.get(f"{name}/Assign")
    if assign is None or assign.op not in ASSIGNS or len(assign.inputs) != 2:
        return None
    return evaluate(assign.inputs[1], scope)


def evaluate(key: str, scope: Scope, depth: int = 0) -> np.ndarray | None:
    """Returns the value of a tensor that only constants decide, or `None`.

    It knows what the initializers of TensorFlow 1 are made of, such as
    `zeros`, `ones` and `constant`.
    """
    node = scope.nodes.get(operation_name(key))
    if node is None or depth > MAX_DEPTH:
        return None
    if node.op == "Const":
        value: np.ndarray = tf.make_ndarray(node.proto.attr["value"].tensor)
        return value
    inputs = [evaluate(one, scope, depth + 1) for one in node.inputs]
    known = [one for one in inputs if one is not None]
    if len(known) < len(inputs):
        return None
    if node.op == "Identity" and len(known) == 1:
        return known[0]
    if node.op == "Fill" and len(known) == 2:
        sizes = [int(size) for size in known[0].reshape(-1)]
        count = math.prod(sizes) * known[1].dtype.itemsize
        if min(sizes, default=0) >= 0 and count <= MAX_CONSTANT_BYTES:
            return np.full(sizes, known[1])
    return None
