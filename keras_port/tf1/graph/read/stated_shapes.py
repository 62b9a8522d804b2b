"""Uses the shapes that a file states next to its operations."""

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read.protos import GraphDef
from keras_port.tf1.graph.read.protos import NodeDef
from keras_port.tf1.graph.read.protos import ShapeProto

STATED = "_output_shapes"


def use_stated_shapes(graph: GraphDef) -> None:
    """Gives placeholders the shapes that the file states for their outputs.

    Before TensorFlow 1.2 (version 24 of graphs) a placeholder with an open
    axis had an empty `shape` attribute, which meant "unknown". What TensorFlow
    knew of it is stated as the shape of its output.
    """
    for node in graph.node:
        if node.op in operations.PLACEHOLDERS:
            shape = node.attr["shape"].shape
            stated = read_stated_shapes(node)
            if not shape.dim and len(stated) == 1 and stated[0].dim:
                shape.CopyFrom(stated[0])


def read_stated_shapes(node: NodeDef) -> list[ShapeProto]:
    """Returns the shapes that a file states for the outputs of an operation."""
    if STATED not in node.attr:
        return []
    return list(node.attr[STATED].list.shape)
