"""Finds the flows of TensorArrays: numbers that stand for what they hold."""

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope

FLOW_SOURCES = (
    "TensorArrayV3",
    "TensorArrayWriteV3",
    "TensorArrayScatterV3",
    "TensorArraySplitV3",
)
FLOW_COPIES = (
    "Identity",
    "Enter",
    "Merge",
    "Switch",
    "NextIteration",
    "Exit",
)


def flow_copies(scope: Scope) -> frozenset[str]:
    """Returns the names of the operations that copy a flow.

    They are made for numbers, and here a flow is a list.
    """
    copies: set[str] = set()
    stack = [
        f"{node.name}:{1 if node.op == 'TensorArrayV3' else 0}"
        for node in scope.nodes.values()
        if node.op in FLOW_SOURCES
    ]
    if not stack:
        return frozenset()
    readers: dict[str, list[Node]] = {}
    for node in scope.nodes.values():
        if node.op in FLOW_COPIES:
            for key in node.inputs[:2]:
                readers.setdefault(key, []).append(node)
    while stack:
        for node in readers.get(stack.pop(), ()):
            if node.name not in copies:
                copies.add(node.name)
                # A `Switch` has two outputs, and the flow leaves by either.
                stack += [f"{node.name}:0", f"{node.name}:1"]
    return frozenset(copies)
