"""Optimizers that update as TensorFlow 1 did."""

from keras_port.optimizers.adam import Adam

__all__ = ["Adam"]
