"""Gives operations to TensorFlow's own import."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.read import Node

SCOPE = "tf1"


def import_nodes(
    batch: Sequence[Node], outside: Mapping[str, tf.Tensor], versions: Any
) -> dict[str, list[tf.Tensor]]:
    """Adds operations to the graph that is open.

    Args:
        batch: The operations, in any order.
        outside: The tensors that replace inputs, by key.
        versions: TensorFlow's record of the graph's age.

    Returns:
        The outputs of each operation, by its name.
    """
    graph = tf.compat.v1.GraphDef()
    graph.versions.CopyFrom(versions)
    names = {node.name for node in batch}
    for node in batch:
        proto = graph.node.add()
        proto.CopyFrom(node.proto)
        del proto.input[:]
        proto.input.extend(node.inputs)
        # Who waits for an operation in another batch comes after it anyway.
        proto.input.extend(
            f"^{name}" for name in node.controls if name in names
        )
    # Only what is used may be in the map.
    operations = tf.graph_util.import_graph_def(
        graph,
        input_map=dict(outside),
        return_elements=[node.name for node in batch],
        name=SCOPE,
    )
    return {
        node.name: list(made.outputs)
        for node, made in zip(batch, operations, strict=True)
    }
