"""Says what `fit` with validation, saving and progress costs over a bare loop.

Trains the course's CNN on MNIST, batch 100, in turn by

- bare: a `tf.function` with a `GradientTape` and Keras' Adam over `build_cnn`;
- steps: a `tf.function` of `compute_gradients` and `apply_gradients`, with the
  optimizer of `train_cnn.py`;
- tf1: a TensorFlow 1 session with `feed_dict`, as the course trains;
- train_cnn: the training of `examples/train_cnn.py`, with validation on 5,000
  images each 100 steps, saving of each better model, progress, and the curves,
  histograms and pictures of TensorBoard.

Prints examples per second as medians over the rounds, and their ratios. The
time to build the graphs is left out everywhere.
"""

from collections.abc import Callable
import contextlib
import functools
import io
import pathlib
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

from absl import app
from absl import flags
import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
import keras
import run_settings
import step_training
import tensorflow as tf
import train_cnn

from benchmarks import report
from benchmarks.peers import tf1_session
from benchmarks.peers.work import Images
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from keras_port import datasets
from keras_port import losses
from keras_port import models

BATCH_SIZE = 100
EVAL_FREQ = 100

Measurement = Callable[[int], float]


def define_flags() -> None:
    """Defines the flags of this script."""
    # The first call of a training is not measured, and takes up to 10 steps.
    flags.DEFINE_integer("steps", 300, "Steps per measurement.", lower_bound=20)
    report.define_flags(rounds=5)


def bare(splits: datasets.Splits) -> Measurement:
    """Returns the loop that anybody would write."""
    model = models.build_cnn()
    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    loss = losses.CourseCrossEntropy("sum")
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    return timed(step, splits)


def steps(splits: datasets.Splits) -> Measurement:
    """Returns the loop of the two named steps."""
    model = train_cnn.build_model(1e-4)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        model.apply_gradients(model.compute_gradients(x, y).pairs)

    return timed(step, splits)


def timed(
    step: Callable[[tf.Tensor, tf.Tensor], None], splits: datasets.Splits
) -> Measurement:
    """Returns what measures a step over the batches of the package."""
    batches = iter(datasets.shuffled_batches(splits.train, BATCH_SIZE, seed=1))
    for _ in range(5):
        step(*next(batches))

    def measure(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            step(*next(batches))
        return count * BATCH_SIZE / (time.perf_counter() - started)

    return measure


def tf1(splits: datasets.Splits, steps: int) -> Measurement:
    """Returns the course's loop in a session."""
    data = Mnist(*(Images(split.images, split.labels) for split in splits))
    seconds = tf1_session.make(Work(steps=steps), data)
    return lambda count: count * BATCH_SIZE / seconds()


def whole_training(splits: datasets.Splits) -> Measurement:
    """Returns the training of `train_cnn.py`, in a new folder each time."""

    def measure(count: int) -> float:
        keras.utils.set_random_seed(1)
        steady = SteadySpeed(EVAL_FREQ if count > EVAL_FREQ else 1)
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            step_training.train_by_step(
                train_cnn.build_model(1e-4),
                splits,
                run_settings.Settings(
                    workdir=pathlib.Path(folder),
                    data_dir=None,
                    batch_size=BATCH_SIZE,
                    max_steps=count,
                    eval_freq=EVAL_FREQ,
                    patience=20,
                    learning_rate=1e-4,
                    seed=1,
                ),
                more_callbacks=[steady],
            )
        return steady.examples_per_second

    return measure


class SteadySpeed(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures examples per second once all graphs have been built.

    Args:
        first_step: Step at whose end the clock starts; by then the first
            validation has built its graphs, as a long training does once.
    """

    def __init__(self, first_step: int) -> None:
        super().__init__()
        self.first_step = first_step
        self.examples_per_second = 0.0
        self._first: tuple[int, float] | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Starts the clock, or reads it; all else of the step is done."""
        step, now = int(self.model.optimizer.iterations), time.perf_counter()
        if self._first is None:
            if step >= self.first_step:
                self._first = (step, now)
            return
        steps = step - self._first[0]
        self.examples_per_second = steps * BATCH_SIZE / (now - self._first[1])


def measure(count: int, rounds: int) -> report.Report:
    """Measures each kind in turn, `rounds` times `count` steps."""
    splits = datasets.load_mnist()
    kinds = {
        "bare": bare(splits),
        "steps": steps(splits),
        "tf1": tf1(splits, count),
        "train_cnn": whole_training(splits),
    }
    rates = report.in_turn(
        {
            kind: functools.partial(measurement, count)
            for kind, measurement in kinds.items()
        },
        rounds,
    )
    table = report.Table(
        "Training of the CNN, batch 100",
        "examples/s",
        rates,
        bases=("bare", "tf1"),
        higher_is_faster=True,
    )
    return report.Report([table])


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    measure(flags.FLAGS.steps, flags.FLAGS.rounds).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
