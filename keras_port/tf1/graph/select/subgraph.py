"""Finds the part of a graph that some tensors need, and cuts it out."""

from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import called_functions
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import protos

# They name devices of the machine that made the graph, or repeat what
# TensorFlow infers.
DROPPED_ATTRIBUTES = ("_class", "_output_shapes", "_xla_compile_id")
MAX_CALL_DEPTH = 50


class Part(NamedTuple):
    """Operations of one scope."""

    scope: Scope
    nodes: list[Node]


def find_needed(
    wanted: Iterable[str],
    scope: Scope,
    given: Iterable[str],
    known: Container[str] = (),
) -> dict[str, None]:
    """Returns the names of the operations that some keys need.

    Args:
        wanted: The keys.
        scope: The graph.
        given: Keys that have values, so that their operations are not needed.
        known: Names of operations to leave out, together with what only they
            need.
    """
    cuts = set(given)
    # An operation that waits for a placeholder waits for nothing.
    cuts |= {f"^{operation_name(key)}" for key in cuts}
    names: dict[str, None] = {}
    seen: set[str] = set()
    stack = list(wanted)
    while stack:
        key = stack.pop()
        if key in seen or key in cuts:
            continue
        seen.add(key)
        node = scope.node(key)
        if node.name not in names and node.name not in known:
            names[node.name] = None
            stack += node.inputs
            stack += [f"^{name}" for name in node.controls]
    return names


def find_functions(
    nodes: Iterable[Node], functions: Mapping[str, Scope]
) -> dict[str, Scope]:
    """Returns the functions that operations call, and those they call in turn.

    Raises:
        ValueError: If a function calls itself.
    """
    found: dict[str, Scope] = {}
    if not functions:
        return found
    open_calls: list[str] = []

    def add(callers: Iterable[Node]) -> None:
        for name in {n: None for one in callers for n in called_functions(one)}:
            if name in open_calls or len(open_calls) > MAX_CALL_DEPTH:
                raise ValueError(
                    f"The function {name!r} of the graph calls itself, or "
                    f"more than {MAX_CALL_DEPTH} functions call each other."
                )
            if name in functions and name not in found:
                open_calls.append(name)
                add(functions[name].nodes.values())
                open_calls.pop()
                found[name] = functions[name]

    add(nodes)
    return found


def find_parts(
    names: Iterable[str], scope: Scope, functions: Mapping[str, Scope]
) -> list[Part]:
    """Returns operations of a graph, and those of the functions they call.

    Args:
        names: Names of the operations.
        scope: The graph.
        functions: Its functions, by name.
    """
    nodes = [scope.nodes[name] for name in names]
    called = find_functions(nodes, functions)
    return [
        Part(scope, nodes),
        *(Part(one, list(one.nodes.values())) for one in called.values()),
    ]


def prune_graph(
    graph: protos.GraphDef,
    names: Container[str],
    given: Iterable[str],
    functions: Container[str],
) -> protos.GraphDef:
    """Returns a graph of some operations and functions.

    Args:
        graph: The whole graph.
        names: Names of the operations to keep.
        given: Keys that have values. Their operations become placeholders.
        functions: Names of the functions to keep.
    """
    made = tf.compat.v1.GraphDef()
    made.versions.CopyFrom(graph.versions)
    stubs = {operation_name(key) for key in given}
    for node in graph.node:
        if node.name in names:
            made.node.add().CopyFrom(node)
        elif node.name in stubs:
            stub = made.node.add(name=node.name, op="Placeholder")
            stub.attr["dtype"].type = tf.float32.as_datatype_enum
    for function in graph.library.function:
        if function.signature.name in functions:
            made.library.function.add().CopyFrom(function)
    return made


def drop_devices(graph: protos.GraphDef) -> None:
    """Removes what binds a graph to the machine and the file it comes from."""
    functions = graph.library.function
    for nodes in (graph.node, *(one.node_def for one in functions)):
        for node in nodes:
            node.device = ""
            for name in DROPPED_ATTRIBUTES:
                if name in node.attr:
                    del node.attr[name]


def shape_as_tuple(shape: tf.TensorShape) -> tuple[int | None, ...] | None:
    """Returns a shape as a tuple, or `None` if its rank is unknown."""
    return None if shape.rank is None else tuple(shape.as_list())
