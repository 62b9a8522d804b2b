"""What is known about tensors before they have values."""

from typing import Any

import keras
import tensorflow as tf

Shape = tuple[int | None, ...] | None


def shape_tuple(shape: Any) -> Shape:
    """Returns a shape as a tuple, `None` if even the rank is unknown.

    Args:
        shape: Shape of Keras or TensorFlow, whose unknown sizes become `None`.
    """
    shape = tf.TensorShape(shape)
    return None if shape.rank is None else tuple(shape.as_list())


def symbolic_inputs(model: keras.Layer) -> Any:
    """Returns the symbolic inputs of a functional or Sequential model.

    Returns:
        Keras tensors in the structure that the model is called with, or `None`
        if the model does not know its inputs.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    # A Sequential model has one input, and `input` only after a first call.
    return inputs[0] if isinstance(model, keras.Sequential) else model.input
