"""What the programs share: data, a model, a `fit` that resumes, the end."""

import json
import pathlib
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port import callbacks
from keras_port import checkpoints
from keras_port import training

STEPS = 30


def make_arrays(count: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and labels that can be learnt."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(count, 4)).astype("float32")
    return x, x[:, :3].argmax(axis=1)


def make_batches(*, start_batch: int = 0) -> tf.data.Dataset:
    """Returns endless batches of 8 in a fixed order."""
    dataset = tf.data.Dataset.from_tensor_slices(make_arrays()).batch(8)
    return dataset.repeat().skip(start_batch)


def build_model(*, dropout: float = 0.0) -> training.GradientModel:
    """Returns a small model, the same in every process."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu", name="base")(inputs)
    hidden = keras.layers.Dropout(dropout, seed=2)(hidden)
    outputs = keras.layers.Dense(3, activation="softmax", dtype="float32")(
        hidden
    )
    return training.GradientModel(inputs, outputs)


def compile_model(
    model: keras.Model, optimizer: Any = None, **options: Any
) -> None:
    """Compiles a model with an optimizer that has a state."""
    model.compile(
        optimizer=optimizer or keras.optimizers.Adam(0.05),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **options,
    )


def make_callbacks(
    workdir: pathlib.Path, *, patience: int = 20
) -> list[keras.callbacks.Callback]:
    """Returns callbacks with a state."""
    return [
        callbacks.StepEvaluation(make_arrays(16), eval_freq=3),
        callbacks.StepEarlyStopping(monitor="val_loss", patience=patience),
        callbacks.StepCheckpoint(workdir / "model.keras"),
    ]


def fit(
    model: keras.Model,
    directory: pathlib.Path,
    more: list[keras.callbacks.Callback],
    *,
    batches: int = STEPS,
    save_freq: int = 2,
) -> dict[str, Any]:
    """Trains as one `fit` of a program that resumes; ends after a signal."""
    terminate = callbacks.TerminateOnSignal()
    state = callbacks.TrainingState(directory, save_freq=save_freq)
    history = model.fit(
        make_batches(),
        steps_per_epoch=batches,
        callbacks=[*more, state, terminate],
        verbose=0,
    )
    if terminate.received:
        sys.exit()
    return dict(history.history)


def write_end(
    workdir: pathlib.Path, model: keras.Model, *histories: dict[str, Any]
) -> None:
    """Writes what the program ends with."""
    variables = [*model.variables, *model.optimizer.variables]
    with (
        checkpoints.atomic_file(workdir / "end.npz") as partial,
        open(partial, "wb") as file,
    ):
        np.savez(file, *(np.asarray(value) for value in variables))
    with checkpoints.atomic_file(workdir / "end.json") as partial:
        partial.write_text(json.dumps(histories))
