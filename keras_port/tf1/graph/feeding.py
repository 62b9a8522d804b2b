"""Checks the values that a user feeds."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1.graph.nodes import operation
from keras_port.tf1.graph.program import Feed


def feed(key: str, value: Any, dtype: tf.DType, shape: tf.TensorShape) -> Feed:
    """Returns what a user feeds, checked against the tensor."""
    name = f"`feeds[{operation(key)!r}]`"
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2:
        raise ValueError(
            f"{name} must be a value, or a tuple of the one in training and "
            f"the other one. Received: {value!r}"
        )
    arrays = []
    for one in both:
        try:
            array = np.asarray(one, dtype.as_numpy_dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must be of type {dtype.name}. Received: {one!r}"
            ) from error
        if not shape.is_compatible_with(array.shape):
            raise ValueError(
                f"{name} must be of shape {shape}. Received: {one!r}"
            )
        arrays.append(array.tolist())
    return Feed(key, dtype.name, *arrays)
