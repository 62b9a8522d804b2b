"""Lesson 1: trains the one-layer perceptron.

Shows every intermediate value of the untrained network on five images, then
trains for --max_steps steps, with validation and test accuracy each
--eval_freq of them. Ctrl-C ends in order; the same command goes on later.
"""

import contextlib

import best_model
import cli  # First: it sets what TensorFlow reads when it is imported.
import keras
import numpy as np
import run_folder
import run_settings
import step_training
import tensorflow as tf

from keras_port import callbacks
from keras_port import losses
from keras_port import models

# A step computes for so short a time that the call itself is most of it.
STEPS_PER_CALL = 50


def define_flags() -> None:
    """Defines the flags of this script."""
    run_settings.define_settings(
        workdir="runs/perceptron",
        max_steps=1000,
        eval_freq=50,
        learning_rate=0.01,
    )


def build_model(learning_rate: float) -> models.ImageModel:
    """Returns the course's perceptron, compiled as the course trains it."""
    model = models.build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def intermediate_values(
    model: models.ImageModel, x: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns each value between the images and the loss, as in lesson 1.

    Args:
        model: The perceptron.
        x: Images, float32 (batch, 784).
        y: One-hot labels, float32 (batch, 10).
    """
    weights, bias = model.get_layer("fc").get_weights()
    outputs = np.asarray(model(x))
    logs = np.log(outputs)
    return {
        "x W": x @ weights,
        "x W + b": x @ weights + bias,
        "y": outputs,
        "y_ log y": y * logs,
        "loss": -np.mean(y * logs),
        "correct prediction": outputs.argmax(1) == y.argmax(1),
    }


def train_perceptron(settings: run_settings.Settings) -> run_folder.Results:
    """Trains the network, or goes on with it, or tells what it has given."""
    splits = run_settings.load_splits(settings)
    finished = run_folder.finished_results(settings, script="train_perceptron")
    if finished is not None:
        print(f"{settings.workdir} is finished; there is nothing left to do.")
        return finished
    keras.utils.set_random_seed(settings.seed)
    model = build_model(settings.learning_rate)
    x, y = splits.train.next_batch(5)
    with np.printoptions(precision=4, suppress=True, linewidth=100):
        for name, value in intermediate_values(model, x, y).items():
            print(f"{name} =\n{value}")
    print(
        "Before training: test accuracy "
        f"{best_model.accuracy(model, splits.test):.4f}."
    )
    return step_training.train_by_step(
        model,
        splits,
        settings,
        more_callbacks=[
            callbacks.StepEvaluation(
                splits.test, eval_freq=settings.eval_freq, prefix="test"
            )
        ],
        max_steps_per_call=STEPS_PER_CALL,
    )


def use_one_thread_per_operation() -> None:
    """Keeps TensorFlow from sharing out products of some microseconds.

    To share one out takes longer than to compute it. A process that has
    computed before keeps its threads.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def main() -> None:
    """Runs the script with the values of the flags."""
    use_one_thread_per_operation()
    settings = run_settings.settings_from_flags()
    results = train_perceptron(settings)
    print(run_folder.summary(results))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
