"""Values for tensors of a graph."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.inspection.records import shape_text


def fed_value(name: str, value: Any, expected: Any) -> np.ndarray:
    """Returns a value as an array that fits a tensor, or raises."""
    dtype = tf.as_dtype(expected.dtype)
    try:
        array = np.asarray(value.numpy() if tf.is_tensor(value) else value)
        kind = tf.as_dtype(array.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The value fed to {name!r} is no array: {error}"
        ) from error
    fits = kind == dtype or (
        (dtype.is_floating and (kind.is_floating or kind.is_integer))
        or (dtype.is_complex and kind != tf.string)
        or (dtype.is_integer and kind.is_integer)
    )
    if not fits:
        raise ValueError(
            f"{name!r} takes values of type {dtype.name}. "
            f"Received: {kind.name}. Use `np.asarray(value, {dtype.name!r})`."
        )
    shape = tf.TensorShape(expected.shape)
    if not shape.is_compatible_with(array.shape):
        raise ValueError(
            f"{name!r} takes values of shape {shape_text(tuple(shape))}. "
            f"Received: shape {array.shape}. `None` stands for any size."
        )
    return array if dtype == tf.string else array.astype(dtype.as_numpy_dtype)
