"""Takes out of a graph what some tensors need."""

from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import list_called_functions
from keras_port.tf1.graph.read import operation

GraphDef = Any
# They name places on the machine that made the graph, and what is known here.
DROPPED = ("_class", "_output_shapes", "_xla_compile_id")


def closure(
    wanted: Iterable[str],
    scope: Scope,
    cuts: Iterable[str],
    known: Container[str] = (),
) -> dict[str, None]:
    """Returns the names of the operations that some keys need.

    Args:
        wanted: The keys.
        scope: The graph.
        cuts: Keys that are given, and whose operations are not needed.
        known: Names of operations that are left out, and behind which nothing
            is looked for.
    """
    given = set(cuts)
    # To wait for a placeholder means nothing.
    given |= {f"^{operation(key)}" for key in given}
    names: dict[str, None] = {}
    seen: set[str] = set()
    stack = list(wanted)
    while stack:
        key = stack.pop()
        if key in seen or key in given:
            continue
        seen.add(key)
        node = scope.node(key)
        if node.name not in names and node.name not in known:
            names[node.name] = None
            stack += node.inputs
            stack += [f"^{name}" for name in node.controls]
    return names


def reached(
    nodes: Iterable[Node], functions: Mapping[str, Scope]
) -> dict[str, Scope]:
    """Returns the functions that operations call, and those they call.

    Raises:
        ValueError: If a function calls itself.
    """
    found: dict[str, Scope] = {}
    if not functions:
        return found
    open_calls: list[str] = []

    def add(callers: Iterable[Node]) -> None:
        for name in {
            n: None for one in callers for n in list_called_functions(one)
        }:
            if name in open_calls or len(open_calls) > 50:
                raise ValueError(
                    f"The function {name!r} of the graph calls itself, or is "
                    "called by too many others."
                )
            if name in functions and name not in found:
                open_calls.append(name)
                add(functions[name].nodes.values())
                open_calls.pop()
                found[name] = functions[name]

    add(nodes)
    return found


def pruned(
    graph: GraphDef,
    keep: Mapping[str, None],
    cuts: Iterable[str],
    functions: Mapping[str, Scope],
) -> GraphDef:
    """Returns a graph of some operations, on no device.

    Args:
        graph: The whole graph.
        keep: Names of the operations.
        cuts: Keys that are given. Their operations stay as placeholders.
        functions: The functions that are called.
    """
    made = tf.compat.v1.GraphDef()
    made.versions.CopyFrom(graph.versions)
    stubs = {operation(key) for key in cuts} - keep.keys()
    for node in graph.node:
        if node.name in keep:
            cleaned(made.node.add(), node)
        elif node.name in stubs:
            stub = made.node.add(name=node.name, op="Placeholder")
            stub.attr["dtype"].type = tf.float32.as_datatype_enum
    for function in graph.library.function:
        if function.signature.name in functions:
            copy = made.library.function.add()
            copy.CopyFrom(function)
            for node in copy.node_def:
                cleaned(node, node)
    return made


def cleaned(target: Any, node: Any) -> None:
    """Copies an operation without what binds it to a machine."""
    if target is not node:
        target.CopyFrom(node)
    target.device = ""
    for name in DROPPED:
        if name in target.attr:
            del target.attr[name]
