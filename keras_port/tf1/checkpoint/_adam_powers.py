"""Finds the powers of Adam that belong to some variables, in the graph."""

from collections.abc import Collection
from collections.abc import Mapping
import pathlib
from typing import Any

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1._files import read_nodes

_UPDATES = ("ApplyAdam", "ResourceApplyAdam")
# The inputs of an update: the variable, and the powers of both betas.
_VARIABLE, *_POWERS = 0, 3, 4
# An operation that reads a variable is at most a few others away from it.
_MAX_STEPS = 10


def find_powers(prefix: pathlib.Path, variables: Collection[str]) -> set[str]:
    """Returns the powers that the updates of variables read.

    Without a readable `.meta` file the set is empty.
    """
    nodes = {node.name: node for node in read_nodes(prefix)}
    return {
        _find_variable(nodes, node.input[index])
        for node in nodes.values()
        if node.op in _UPDATES
        and len(node.input) > max(_POWERS)
        and _find_variable(nodes, node.input[_VARIABLE]) in variables
        for index in _POWERS
    }


def _find_variable(nodes: Mapping[str, Any], tensor: str) -> str:
    """Returns the variable whose value a tensor is, or `""`."""
    for _ in range(_MAX_STEPS):
        node = nodes.get(tensor.partition(":")[0])
        if node is None:
            return ""
        if node.op in VARIABLE_OPS:
            return str(node.name)
        if not node.input:
            return ""
        tensor = node.input[0]
    return ""
