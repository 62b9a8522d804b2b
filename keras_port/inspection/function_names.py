"""Names for the functions that a graph calls, such as branches and loops."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_port.inspection.operation_names import UniqueNames

# They name functions for the gradient that the graph does not call.
GRADIENT_ATTRIBUTES = ("forward_function_name", "backward_function_name")


def rename_functions(graph_def: tf.compat.v1.GraphDef) -> None:
    """Names the functions of a graph after the operations that call them.

    TensorFlow numbers them through the whole process. Those that nothing
    calls are left out.

    Args:
        graph_def: The graph, changed in place.
    """
    library = {item.signature.name: item for item in graph_def.library.function}
    unique = UniqueNames()
    names: dict[str, str] = {}
    queue = [(node.name, node) for node in graph_def.node]
    for path, node in queue:
        for attribute, reference in function_references(node):
            old = reference.name
            if old not in library:
                continue
            if old not in names:
                flat = path.replace("/", "_")
                names[old] = unique.give(f"{flat}_{attribute}")
                queue += [
                    (names[old] + "_" + inner.name, inner)
                    for inner in library[old].node_def
                ]
            reference.name = names[old]
        if node.op in library:
            names.setdefault(node.op, unique.give(f"call_{path}"))
            node.op = names[node.op]
    del graph_def.library.gradient[:]
    del graph_def.library.function[:]
    for old, new in names.items():
        item = graph_def.library.function.add()
        item.CopyFrom(library[old])
        item.signature.name = new
        for attribute in GRADIENT_ATTRIBUTES:
            item.attr.pop(attribute, None)


def function_references(node: Any) -> Iterator[tuple[str, Any]]:
    """Yields the attributes of a node that name functions, in order."""
    for key in sorted(node.attr):
        value = node.attr[key]
        if value.HasField("func"):
            yield key, value.func
        for reference in value.list.func:
            yield key, reference
