"""Finds the flows of TensorArrays.

A flow is a number that TensorFlow 1 passes from one operation on an array to
the next. Here it is the list of the elements itself.
"""

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


def find_flow_copies(scope: Scope) -> frozenset[str]:
    """Returns the names of the operations that copy a flow.

    TensorFlow's import would make them for numbers, but a flow is a list.
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
                # A `Switch` has two outputs, and either can pass the flow on.
                stack += [f"{node.name}:0", f"{node.name}:1"]
    return frozenset(copies)
