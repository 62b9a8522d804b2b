"""A small training whose evaluations are a list of values."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.callbacks.evaluation_listener import channel_of
from keras_port.training import GradientModel


class ScriptedEvaluation(keras.callbacks.Callback):
    """Publishes the values of a list as a `StepEvaluation` would."""

    def __init__(
        self,
        values: Sequence[float],
        *,
        eval_freq: int = 100,
        monitor: str = "val_accuracy",
    ) -> None:
        super().__init__()
        self.values = list(values)
        self.eval_freq = eval_freq
        self.name_of_result = monitor
        self.published: list[int] = []

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        channel_of(model).sources.append(self)

    def on_train_begin(self, logs: Any = None) -> None:
        self.published = []
        channel_of(self.model).announce("val", [self.name_of_result])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = int(self.model.optimizer.iterations)
        rank, rest = divmod(step, self.eval_freq)
        if rest == 0 and rank <= len(self.values):
            self.published.append(step)
            logs = {self.name_of_result: self.values[rank - 1]}
            channel_of(self.model).publish(step, logs)


class StopAt(keras.callbacks.Callback):
    """Stops the training at a step, as somebody else's callback might."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) >= self.step:
            self.model.stop_training = True


class WeightsAt(keras.callbacks.Callback):
    """Notes the weights at the end of some steps."""

    def __init__(self, *steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.weights: dict[int, list[np.ndarray]] = {}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = int(self.model.optimizer.iterations)
        if step in self.steps:
            self.weights[step] = self.model.get_weights()


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


def small_batches(*, start_step: int = 0) -> tf.data.Dataset:
    """Returns endless batches of 8 in a fixed order."""
    dataset = tf.data.Dataset.from_tensor_slices(small_arrays()).batch(8)
    return dataset.repeat().skip(start_step)


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
