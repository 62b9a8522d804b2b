"""Layers of the course's models that stock Keras has wrong, or slower."""

from keras_port.layers.dense import Dense
from keras_port.layers.dropout import Dropout
from keras_port.layers.max_pooling import MaxPooling2D
from keras_port.layers.pixel_range import PixelRange

__all__ = ["Dense", "Dropout", "MaxPooling2D", "PixelRange"]
