"""TensorFlow's own description of its operations, not that of a file."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

# Of TensorFlow's protocol buffers, which give the types no public names.
OpDef = Any
NodeDef = Any


def describe(types: Iterable[str]) -> dict[str, OpDef]:
    """Returns the description of each type of operation that exists here.

    A `.meta` carries descriptions as well, but what a file says of itself is
    no ground to trust it on.
    """
    graph = tf.compat.v1.GraphDef()
    for number, name in enumerate(sorted(set(types))):
        graph.node.add(name=f"n{number}", op=name)
    # What is written into a new file comes from this process's registry.
    made = tf.compat.v1.train.export_meta_graph(
        graph_def=graph, graph=tf.Graph()
    )
    return {one.name: one for one in made.meta_info_def.stripped_op_list.op}


def output_offsets(node: NodeDef, description: OpDef) -> dict[str, int]:
    """Returns the number of the first tensor of each named output."""
    offsets, start = {}, 0
    for output in description.output_arg:
        offsets[output.name] = start
        if output.number_attr:
            start += node.attr[output.number_attr].i
        elif output.type_list_attr:
            start += len(node.attr[output.type_list_attr].list.type)
        else:
            start += 1
    return offsets
