"""Layers of the course's models that stock Keras has wrong, or slower."""

from keras_port.layers.dropout import Dropout
from keras_port.layers.max_pooling import MaxPooling2D
from keras_port.layers.pixel_range_check import PixelRangeCheck
from keras_port.layers.transposed_gradient_dense import TransposedGradientDense

__all__ = [
    "Dropout",
    "MaxPooling2D",
    "PixelRangeCheck",
    "TransposedGradientDense",
]
