"""Finds which data and which weights every operation of a graph needs."""

import dataclasses
import re

import tensorflow as tf

from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import has_variables
from keras_port.tf1.graph.read import list_weights
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations

# What gives a model its data instead of a placeholder.
SOURCES = re.compile(
    r"Queue(Dequeue|DequeueMany|DequeueUpTo)(V2)?|"
    r"(OneShot)?IteratorGetNext(Sync|AsOptional)?|ReaderRead(UpTo)?(V2)?"
)
# Their results depend on the shape of data alone.
SIZES = ("Shape", "ShapeN", "Size", "Rank")
BOOL = tf.bool.as_datatype_enum
# Passes over a graph. One is enough without loops; a loop in a loop needs 3.
PASSES = 4
# Tensors of data, and weights, that are told apart. No model has as many.
MAX_BITS = 1000


@dataclasses.dataclass(frozen=True)
class Origins:
    """What every operation is computed from, one bit for every origin.

    Args:
        data: The data that every operation needs, by its name.
        weights: The variables that it needs, or in a frozen graph the
            constants that may have been variables.
        order: The names, every one after its inputs, except in loops.
        readers: The names of the operations that read every operation.
    """

    data: dict[str, int]
    weights: dict[str, int]
    order: list[str]
    readers: dict[str, list[str]]


def find_origins(source: GraphFile) -> Origins:
    """Returns what every operation of a graph is computed from.

    Data are placeholders with axes, and what comes out of queues, iterators
    and Python functions. A placeholder without axes, such as the rate of
    dropout, is a setting and does not count.
    """
    scope = source.scope
    data = dict.fromkeys(scope.nodes, 0)
    weights = dict.fromkeys(scope.nodes, 0)
    for number, name in enumerate(list_origins(source)[:MAX_BITS]):
        weights[name] = 1 << number
    # The outputs of one queue are different data.
    outputs: dict[str, int] = {}
    inputs = find_data(scope)
    order = sort_operations(scope)
    readers = find_readers(scope)
    for name in order:
        if name in inputs:
            keys = {
                key
                for one in readers.get(name, ())
                for key in scope.nodes[one].inputs
                if operation_name(key) == name
            }
            for key in sorted(keys):
                if len(outputs) < MAX_BITS:
                    outputs[key] = 1 << len(outputs)
                    data[name] |= outputs[key]
    for _ in range(PASSES):
        before = dict(data), dict(weights)
        for name in order:
            if name in inputs or scope.nodes[name].op in SIZES:
                continue
            for key in scope.nodes[name].inputs:
                one = operation_name(key)
                if one in scope.nodes:
                    data[name] |= outputs.get(key, data[one])
                    weights[name] |= weights[one]
        if (data, weights) == before:
            break
    return Origins(data, weights, order, readers)


def list_origins(source: GraphFile) -> list[str]:
    """Returns the names of the operations that hold weights."""
    if not has_variables(source):
        return list_weights(source)
    return [
        name
        for name, node in source.scope.nodes.items()
        if node.op in operations.VARIABLES
    ]


def find_data(scope: Scope) -> set[str]:
    """Returns the names of the operations that give a model its data.

    A placeholder of an unknown shape is data only if none has a known one;
    otherwise it is more likely a setting, such as the rate of dropout.
    """
    sources = {
        name for name, node in scope.nodes.items() if SOURCES.fullmatch(node.op)
    }
    known, unknown = set(), set()
    for name, node in scope.nodes.items():
        if node.op in operations.PLACEHOLDERS:
            shape = node.proto.attr["shape"].shape
            is_bool = node.proto.attr["dtype"].type == BOOL
            if shape.dim:
                known.add(name)
            elif shape.unknown_rank and not is_bool:
                unknown.add(name)
    return sources | (known or unknown)


def find_readers(scope: Scope) -> dict[str, list[str]]:
    """Returns the names of the operations that read every operation."""
    readers: dict[str, dict[str, None]] = {}
    for node in scope.nodes.values():
        for key in node.inputs:
            readers.setdefault(operation_name(key), {})[node.name] = None
    return {name: list(several) for name, several in readers.items()}


def sort_operations(scope: Scope) -> list[str]:
    """Returns the operations, every one after its inputs, except in loops."""
    order: list[str] = []
    is_done: dict[str, bool] = {}
    for start in scope.nodes:
        stack = [start]
        while stack:
            name = stack[-1]
            if name not in is_done:
                is_done[name] = False
                stack += [
                    operation_name(key)
                    for key in scope.nodes[name].inputs
                    if operation_name(key) in scope.nodes
                    and operation_name(key) not in is_done
                ]
                continue
            stack.pop()
            if not is_done[name]:
                is_done[name] = True
                order.append(name)
    return order
