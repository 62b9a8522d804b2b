"""Small models, and one training of them on any number of devices."""

from collections.abc import Callable
import dataclasses
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_port import distribution
from keras_port import layers
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from keras_port import training

STEPS = 20
BATCH_SIZE = 5
# Six full batches, and one of 3, of which four devices get 1, 1, 1 and none.
EXAMPLES = 33


def build_small_cnn() -> models.ImageModel:
    """Builds the layers of the course's CNN, on images of 8 x 8."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(
        3, 5, padding="same", activation="relu", kernel_regularizer="l2"
    )(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(12, activation="relu")(x)
    x = layers.Dropout(rate=0.5)(x)
    outputs = keras.layers.Dense(10, activation="softmax")(x)
    return models.ImageModel(inputs, outputs, name="small_cnn")


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a training has given, step by step.

    Args:
        model: The model.
        weights: All weights behind each other.
        losses: Loss of each step's batch.
        accuracies: Running accuracy after each call.
        evaluated: Loss and accuracy of `evaluate`, then of `Evaluator`.
    """

    model: training.GradientModel
    weights: npt.NDArray[Any]
    losses: npt.NDArray[Any]
    accuracies: npt.NDArray[Any]
    evaluated: npt.NDArray[Any]


class Accuracies(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the running accuracy after each call."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        assert logs is not None
        self.values.append(logs["accuracy"])


def data_for(model: keras.Model) -> tuple[Any, Any]:
    """Returns images in the shape of a model's inputs, and their labels."""
    generator = np.random.default_rng(3)
    images = generator.random((EXAMPLES, *model.input_shape[1:]))
    labels = generator.integers(0, 10, EXAMPLES)
    return images.astype(keras.config.floatx()), labels


def compiled(
    build: Callable[[], Any], kind: str, devices: int, **arguments: Any
) -> training.GradientModel:
    """Returns a compiled model: `"plain"`, `"mirrored"` or `"towers"`."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    arguments.setdefault("loss", losses.CourseCrossEntropy())
    make = arguments.pop("optimizer", lambda: optimizers.Adam(0.01))
    if kind == "towers":
        model: Any = distribution.build_towers(build, num_devices=devices)
        model.compile(make(), metrics=["accuracy"], **arguments)
    elif kind == "mirrored":
        strategy = distribution.mirrored_strategy(devices)
        with strategy.scope():
            model = build()
            model.compile(make(), metrics=["accuracy"], **arguments)
    else:
        model = build()
        model.compile(make(), metrics=["accuracy"], **arguments)
    return model


def trained(
    build: Callable[[], Any], kind: str, devices: int, **arguments: Any
) -> Trained:
    """Trains a model for 20 steps, the last batch of each epoch uneven."""
    model = compiled(build, kind, devices, **arguments)
    images, labels = data_for(model)
    batches = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = batches.batch(BATCH_SIZE).repeat().take(STEPS)
    accuracies = Accuracies()
    model.fit(batches, callbacks=[accuracies], verbose=0)
    evaluated = model.evaluate(images, labels, verbose=0, batch_size=BATCH_SIZE)
    again = training.Evaluator(model, (images, labels), batch_size=9).evaluate()
    log = model.step_log.read(0, STEPS)
    return Trained(
        model=model,
        weights=np.concatenate([w.ravel() for w in model.get_weights()]),
        losses=log.loss,
        accuracies=np.array(accuracies.values),
        evaluated=np.array([*evaluated, again["loss"], again["accuracy"]]),
    )


def check_same(left: Trained, right: Trained, tolerance: float) -> None:
    """Checks that two trainings have given the same numbers."""
    for name in ("weights", "losses", "accuracies", "evaluated"):
        ours, theirs = getattr(left, name), getattr(right, name)
        np.testing.assert_allclose(
            ours, theirs, rtol=0, atol=tolerance, err_msg=name
        )
