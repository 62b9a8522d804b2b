"""Uses the shapes that a file states next to its operations."""

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read.protos import GraphDef
from keras_port.tf1.graph.read.protos import NodeDef
from keras_port.tf1.graph.read.protos import ShapeProto

STATED = "_output_shapes"


# Until this version of graphs an empty shape meant an unknown one.
FIRST_WITH_SCALARS = 24


def use_stated_shapes(graph: GraphDef) -> None:
    """Gives placeholders the shapes that the file states for their outputs.

    Before TensorFlow 1.2 a placeholder with an open axis had an empty `shape`
    attribute. What TensorFlow knew of it is stated as the shape of its output.
    """
    is_early = graph.versions.producer < FIRST_WITH_SCALARS
    for node in graph.node:
        if node.op not in operations.PLACEHOLDERS:
            continue
        shape = node.attr["shape"].shape
        stated = read_stated_shapes(node)
        if shape.dim or shape.unknown_rank:
            continue
        if len(stated) == 1 and (stated[0].dim or is_early):
            shape.CopyFrom(stated[0])
        elif is_early:
            shape.unknown_rank = True


def read_stated_shapes(node: NodeDef) -> list[ShapeProto]:
    """Returns the shapes that a file states for the outputs of an operation."""
    if STATED not in node.attr:
        return []
    return list(node.attr[STATED].list.shape)
