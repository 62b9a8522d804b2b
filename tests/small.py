"""A small model, its data, and a training of it."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.training import GradientModel


def small_model(**kwargs: Any) -> GradientModel:
    """Returns a compiled model of 15 weights, the same each time."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax")(inputs)
    model = GradientModel(inputs, outputs)
    options: dict[str, Any] = {
        "optimizer": keras.optimizers.SGD(0.05),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    }
    model.compile(**{**options, **kwargs})
    return model


def small_arrays(count: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and labels that can be learnt."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(count, 4)).astype("float32")
    return x, x[:, :3].argmax(axis=1)


def small_batches(*, start_batch: int = 0) -> tf.data.Dataset:
    """Returns endless batches of 8 in a fixed order."""
    dataset = tf.data.Dataset.from_tensor_slices(small_arrays()).batch(8)
    return dataset.repeat().skip(start_batch)


def train(
    model: keras.Model,
    callbacks: Sequence[keras.callbacks.Callback],
    *,
    steps: int = 400,
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains for so many steps."""
    return model.fit(
        small_batches(),
        steps_per_epoch=steps,
        callbacks=list(callbacks),
        verbose=0,
        **kwargs,
    )


def same_weights(
    left: Sequence[np.ndarray], right: Sequence[np.ndarray]
) -> bool:
    """Tells whether all weights are equal to the bit."""
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))
