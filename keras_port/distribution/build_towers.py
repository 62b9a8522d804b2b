"""Builds a model with the towers of lesson 4."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_port.distribution.devices import choose_devices
from keras_port.distribution.tower_model import CPU
from keras_port.distribution.tower_model import TowerImageModel
from keras_port.distribution.tower_model import TowerModel
from keras_port.models import ImageModel


def build_towers(
    build: Callable[[], keras.Model], *, num_devices: int | None = None
) -> TowerModel:
    """Builds a model with its weights on the CPU and a tower on every device.

    Args:
        build: Function that builds a functional model, such as
            `models.build_cnn`.
        num_devices: Number of towers. Defaults to `None`: all GPUs, or the CPU
            if there is no GPU.

    Returns:
        A `TowerModel` with the same layers, inputs, outputs and name. It scales
        pixels if the built model is an `ImageModel`.

    Raises:
        ValueError: If `num_devices` is less than 1 or there are fewer devices.
        RuntimeError: If the CPU would have to be split into several devices
            and TensorFlow is already using it.

    Example:

    >>> model = keras_port.distribution.build_towers(
    ...     build_perceptron, num_devices=1
    ... )
    >>> model.compile(optimizer="sgd", loss=CourseCrossEntropy())
    """
    # Before the first tensor, if the CPU has to be split.
    choose_devices(num_devices)
    with tf.device(CPU):
        model = build()
        is_image_model = isinstance(model, ImageModel)
        tower_class = TowerImageModel if is_image_model else TowerModel
        return tower_class(
            model.input, model.output, num_devices=num_devices, name=model.name
        )
