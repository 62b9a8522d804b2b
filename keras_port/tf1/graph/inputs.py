"""Brings what a layer is called with into the graph's order and types."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import operation
from keras_port.tf1.graph.read import tensor_key


def arranged(given: Any, wanted: Sequence[GraphInput]) -> list[tf.Tensor]:
    """Returns one tensor for each input of the graph.

    Args:
        given: A tensor, a list or tuple of them, or a dictionary by names.
        wanted: The inputs of the graph.
    """
    if isinstance(given, Mapping):
        by_key = {tensor_key(str(name)): one for name, one in given.items()}
        missing = [one.key for one in wanted if one.key not in by_key]
        if missing or len(by_key) != len(wanted):
            raise ValueError(
                f"`inputs` must hold {[one.key for one in wanted]}. Received: "
                f"{sorted(by_key)}"
            )
        tensors = [by_key[one.key] for one in wanted]
    else:
        tensors = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(tensors) != len(wanted):
        raise ValueError(
            f"`inputs` must hold {len(wanted)} tensors, for "
            f"{[one.key for one in wanted]}. Received: {len(tensors)}"
        )
    return [checked(*pair) for pair in zip(tensors, wanted, strict=True)]


def checked(tensor: Any, fed: GraphInput) -> tf.Tensor:
    """Returns a tensor in the type of the graph, its shape a possible one."""
    tensor = tf.cast(tf.convert_to_tensor(tensor), fed.dtype)
    if not tensor.shape.is_compatible_with(tf.TensorShape(fed.shape)):
        raise ValueError(
            f"The input {operation(fed.key)!r} of the graph has the shape "
            f"{fed.shape}. Received: {tuple(tensor.shape)}"
        )
    return tensor
