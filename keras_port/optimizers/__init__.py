"""TensorFlow 1's Adam, and a learning rate for short trainings."""

from keras_port.optimizers.adam import Adam
from keras_port.optimizers.one_cycle import OneCycle

__all__ = ["Adam", "OneCycle"]
