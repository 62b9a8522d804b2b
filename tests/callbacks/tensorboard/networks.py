"""Small trainings whose steps are also made by hand."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port import datasets
from keras_port.training import GradientModel
from tests import small


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step should be like.

    Args:
        loss: Of the batch, before the update.
        norm: Of all gradients together.
        accuracy: On the batch, before the update.
    """

    loss: float
    norm: float
    accuracy: float


def steps_by_hand(
    model: GradientModel, batches: tf.data.Dataset, count: int
) -> list[Step]:
    """Trains in two steps, and notes what each was like."""
    found = []
    for x, y in batches.take(count):
        result = model.compute_gradients(x, y)
        squares = [float(tf.reduce_sum(g**2)) for g, _ in result.grads_and_vars]
        predicted = np.argmax(result.outputs, axis=1)
        found.append(
            Step(
                loss=float(result.loss),
                norm=sum(squares) ** 0.5,
                accuracy=float(np.mean(predicted == np.asarray(y))),
            )
        )
        model.apply_gradients(result.grads_and_vars)
    return found


def train(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    **options: Any,
) -> keras.callbacks.History:
    """Trains on `small_batches`, also models that would shuffle them."""
    return small.train(model, callbacks, shuffle=False, **options)


def stock_model(
    optimizer: Any = None, layers: Sequence[keras.Layer] = (), **options: Any
) -> keras.Sequential:
    """Returns `small_model` as a stock `keras.Sequential`."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *layers,
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.05),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **options,
    )
    return model


def image_model(rate: float = 0.25) -> GradientModel:
    """Returns a convolution of 2 filters and a dense layer, compiled."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((28, 28, 1), name="images")
    x = keras.layers.Conv2D(2, 5, strides=4, name="conv1")(inputs)
    x = keras.layers.Flatten(name="flatten")(x)
    outputs = keras.layers.Dense(10, activation="softmax", name="fc")(x)
    model = GradientModel(inputs, outputs, name="small_cnn")
    model.compile(
        keras.optimizers.SGD(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def image_arrays(split: datasets.ImageSplit) -> tuple[np.ndarray, np.ndarray]:
    """Returns scaled images (n, 28, 28, 1), and labels."""
    images = split.images[..., None].astype("float32") / 255
    return images, split.labels.astype("int32")


def image_batches(split: datasets.ImageSplit) -> tf.data.Dataset:
    """Returns endless batches of 50 in a fixed order."""
    dataset = tf.data.Dataset.from_tensor_slices(image_arrays(split))
    return dataset.batch(50).repeat()


def mean_of(values: Sequence[float], first: int, last: int) -> float:
    """Returns the mean over steps `first` to `last`, both included."""
    return float(np.mean(values[first - 1 : last]))
