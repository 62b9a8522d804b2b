"""The training as TensorBoard shows it."""

from keras_port.callbacks.tensorboard.callback import TensorBoard

__all__ = ["TensorBoard"]
