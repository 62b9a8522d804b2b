"""The batch that the histograms and the graph look at."""

from typing import Any

import keras
import tensorflow as tf

from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.training.evaluator import split_arrays

BATCH_SIZE = 100


def fixed_batch(model: keras.Model, data: Any) -> tuple[Any, Any] | None:
    """Returns inputs and targets of one batch, or `None` without data.

    Args:
        model: The model that takes the batch.
        data: An `ImageSplit`, of which the first 100 images are taken, or
            arrays `(x, y)`, which are taken as they are.
    """
    if data is None:
        return None
    if isinstance(data, ImageSplit):
        images, labels = split_arrays(data[:BATCH_SIZE], model)
        return scale_pixels(tf.constant(images)), tf.constant(labels)
    x, y = tf.nest.map_structure(tf.convert_to_tensor, data)
    return x, y
