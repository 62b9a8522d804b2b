"""TensorFlow 1's Adam."""

from keras_port.optimizers.adam import Adam

__all__ = ["Adam"]
