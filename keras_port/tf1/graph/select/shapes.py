"""What TensorFlow itself makes of a graph: is it sound, and its shapes."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from keras_port.tf1._files import first_line
from keras_port.tf1.graph.read import GRAPH_ERRORS

GraphDef = Any


def inferred(
    graph: GraphDef, keys: Iterable[str]
) -> dict[str, tuple[tf.DType, tf.TensorShape]]:
    """Returns the type and shape of some tensors.

    Nothing is run: the graph is only put together.

    Raises:
        ValueError: If TensorFlow does not accept the graph.
    """
    try:
        with tf.Graph().as_default() as made:
            tf.graph_util.import_graph_def(graph, name="")
            tensors = {key: made.get_tensor_by_name(key) for key in keys}
    except GRAPH_ERRORS as error:
        raise ValueError(
            f"TensorFlow does not accept the graph: {first_line(error)}."
        ) from error
    return {
        key: (tensor.dtype.base_dtype, tensor.shape)
        for key, tensor in tensors.items()
    }


def as_tuple(shape: tf.TensorShape) -> tuple[int | None, ...] | None:
    """Returns a shape, or `None` if not even its length is known."""
    return None if shape.rank is None else tuple(shape.as_list())
