"""The values of placeholders that are not inputs of a layer."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1.graph.read import FixedInput
from keras_port.tf1.graph.read import operation


@dataclasses.dataclass(frozen=True)
class Phase:
    """Gives a placeholder one value in training and another in inference.

    Args:
        training: Value in training.
        inference: Value in inference.

    Example:

    >>> from keras_port.tf1 import Phase
    >>> Phase(training=0.5, inference=1.0).inference
    1.0
    """

    training: Any
    inference: Any


def make_fixed_input(
    key: str, value: Any, dtype: tf.DType, shape: tf.TensorShape
) -> FixedInput:
    """Returns the value of a tensor, checked against its type and shape."""
    name = f"`constants[{operation(key)!r}]`"
    phase = value if isinstance(value, Phase) else Phase(value, value)
    arrays = []
    for one in (phase.training, phase.inference):
        try:
            array = np.asarray(one, dtype.as_numpy_dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must be of type {dtype.name}. Received: {one!r}"
            ) from error
        if not shape.is_compatible_with(array.shape):
            raise ValueError(
                f"{name} must be of shape {shape}, or "
                "`Phase(training=..., inference=...)` of two such values. "
                f"Received: {one!r}"
            )
        arrays.append(array.tolist())
    return FixedInput(key, dtype.name, *arrays)
