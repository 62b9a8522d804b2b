"""Writes a training for TensorBoard."""

from keras_port.callbacks.tensorboard.callback import TensorBoard

__all__ = ["TensorBoard"]
