"""Makes a model of lesson 4 out of a model's builder."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_port.distribution.devices import chosen_devices
from keras_port.distribution.tower_model import CPU
from keras_port.distribution.tower_model import TowerModel


def build_towers(
    build: Callable[[], keras.Model], *, num_devices: int | None = None
) -> TowerModel:
    """Builds a model with its weights on the CPU and a tower on each device.

    Args:
        build: Builds a functional model, such as `models.build_cnn`.
        num_devices: Number of towers. Defaults to `None`: all GPUs, or the CPU
            where there is none.

    Returns:
        A `TowerModel` of the same layers, inputs, outputs and name.

    Raises:
        ValueError: For a number below 1, or more devices than there are.
        RuntimeError: If the CPU would have to be divided, and TensorFlow has
            begun to use it.

    Example:

    >>> model = keras_port.distribution.build_towers(
    ...     build_perceptron, num_devices=1
    ... )
    >>> model.compile(optimizer="sgd", loss=CourseCrossEntropy())
    """
    # Before the first tensor, if the CPU has to be divided.
    chosen_devices(num_devices)
    with tf.device(CPU):
        model = build()
        return TowerModel(
            model.input, model.output, num_devices=num_devices, name=model.name
        )
