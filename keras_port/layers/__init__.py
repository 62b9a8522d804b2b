"""Layers that the course's models need and stock Keras gets wrong."""

from keras_port.layers.dropout import Dropout
from keras_port.layers.pixel_range import PixelRange

__all__ = ["Dropout", "PixelRange"]
