"""Finds what a graph is fed with: data, and settings."""

import re

import tensorflow as tf

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import find_sparse_parts
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import variable_dtype
from keras_port.tf1.graph.select.origins import find_data
from keras_port.tf1.graph.select.origins import find_readers
from keras_port.tf1.graph.select.outputs import is_internal

INTEGERS = (tf.int32.as_datatype_enum, tf.int64.as_datatype_enum)
PLACEHOLDERS = (*operations.PLACEHOLDERS, "PlaceholderWithDefault")
# They pass data on to a queue, from which the model reads it.
QUEUES = re.compile(r"Queue(Enqueue.*|Close.*|Size.*)|.*Dataset.*|.*Summary.*")
DECIDES = ("Switch", "RefSwitch", "If", "StatelessIf")
FORWARDS = ("Identity", "RefIdentity", "ReadVariableOp", "LogicalNot")


def list_data(scope: Scope) -> list[str]:
    """Returns the keys of the tensors that a graph reads its data from."""
    readers, data = find_readers(scope), find_data(scope)
    found = []
    for node in scope.nodes.values():
        is_placeholder = node.op in PLACEHOLDERS
        if is_internal(node) or not (
            node.name in data or (is_placeholder and has_axes(node))
        ):
            continue
        # What only a queue reads does not reach the model from here.
        keys = {
            key
            for name in readers.get(node.name, ())
            if not QUEUES.fullmatch(scope.nodes[name].op)
            for key in scope.nodes[name].inputs
            if operation_name(key) == node.name
        }
        is_unread = is_placeholder and not readers.get(node.name)
        found += [f"{node.name}:0"] if is_unread else sorted(keys)
    return found


def list_settings(scope: Scope) -> list[str]:
    """Returns the keys of the placeholders that are no data.

    These are scalars, such as a rate of dropout.
    """
    data = find_data(scope)
    return [
        f"{node.name}:0"
        for node in scope.nodes.values()
        if node.op in PLACEHOLDERS
        and not is_internal(node)
        and node.name not in data
        and not has_axes(node)
    ]


def list_switches(scope: Scope) -> list[Node]:
    """Returns the variables that decide conditions, such as `is_training`."""
    found: dict[str, Node] = {}
    for node in scope.nodes.values():
        if node.op not in DECIDES or len(node.inputs) < 2:
            continue
        predicate = node.inputs[1 if node.op in DECIDES[:2] else 0]
        source = scope.nodes.get(operation_name(predicate))
        seen: set[str] = set()
        while source is not None and source.name not in seen:
            seen.add(source.name)
            if source.op in operations.VARIABLES:
                if variable_dtype(source).name == "bool":
                    found[source.name] = source
                break
            if source.op not in FORWARDS or not source.inputs:
                break
            source = scope.nodes.get(operation_name(source.inputs[0]))
    return list(found.values())


def find_sparse_names(keys: list[str], scope: Scope) -> dict[str, str]:
    """Returns the sparse placeholder that every key is a part of, if it is."""
    found = {}
    for key in keys:
        name = operation_name(key).rpartition("/")[0]
        if name and key in find_sparse_parts(name, scope):
            found[key] = name
    return found


def has_axes(node: Node) -> bool:
    """Returns whether a placeholder has axes, or is likely to have some.

    Numbers without a known shape are rather labels than settings.
    """
    shape = node.proto.attr["shape"].shape
    is_integer = node.proto.attr["dtype"].type in INTEGERS
    return bool(shape.dim) or (shape.unknown_rank and is_integer)
