"""Measures what it costs to share a batch among devices of this machine.

Trains the course's CNN on MNIST with `fit`, in turn on

- one: one device;
- mirrored: two replicas, each with a copy of the weights;
- towers: two towers, with the weights on the CPU, as in lesson 4,

with the same global batch. Then adds up gradients of the CNN's size over 1, 2,
4 and 8 devices, and nothing else. Without a GPU the devices are parts of the
CPU and share its cores, so this measures the cost of sharing, not a gain. The
time to build the graphs is left out.
"""

from collections.abc import Callable
import os
import pathlib
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import tensorflow as tf

from benchmarks import report
from keras_port import datasets
from keras_port import distribution
from keras_port import losses
from keras_port import models
from keras_port import optimizers

KINDS = ("one", "mirrored", "towers")
COUNTS = (1, 2, 4, 8)
# The weights and biases of the CNN.
SHAPES = (
    *((5, 5, 1, 32), (32,), (5, 5, 32, 64), (64,)),
    *((3136, 1024), (1024,), (1024, 10), (10,)),
)


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_integer("steps", 50, "Steps per measurement.", lower_bound=1)
    flags.DEFINE_integer(
        "batch_size",
        100,
        "Examples per step, on all devices together.",
        lower_bound=1,
    )
    report.define_flags(rounds=5)


def build_model(kind: str) -> Any:
    """Builds the course's CNN for one kind and compiles it."""
    if kind == "towers":
        model: Any = distribution.build_towers(models.build_cnn, num_devices=2)
        compile_model(model)
    elif kind == "mirrored":
        with distribution.mirrored_strategy(2).scope():
            model = models.build_cnn()
            compile_model(model)
    else:
        model = models.build_cnn()
        compile_model(model)
    return model


def compile_model(model: Any) -> None:
    """Compiles the network as lesson 3 trains it."""
    model.compile(
        optimizers.Adam(1e-4),
        losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )


def make_trainings(
    splits: datasets.Splits, steps: int, batch_size: int
) -> dict[str, Callable[[], float]]:
    """Returns functions that train and return the milliseconds per step."""

    def make_training(kind: str) -> Callable[[], float]:
        model = build_model(kind)
        batches = datasets.shuffled_batches(splits.train, batch_size, seed=1)

        def milliseconds() -> float:
            started = time.perf_counter()
            model.fit(batches, steps_per_epoch=steps, verbose=0)
            return 1000 * (time.perf_counter() - started) / steps

        milliseconds()  # Builds the graph.
        return milliseconds

    return {kind: make_training(kind) for kind in KINDS}


def make_additions(steps: int) -> dict[str, Callable[[], float]]:
    """Returns functions that add up gradients and return the milliseconds."""

    def make_addition(count: int) -> Callable[[], float]:
        strategy = distribution.mirrored_strategy(count)

        def on_replica(gradients: list[tf.Tensor]) -> Any:
            if count == 1:
                return [tf.identity(gradient) for gradient in gradients]
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

        add = tf.function(lambda ones: strategy.run(on_replica, (ones,)))
        gradients = strategy.run(lambda: [tf.ones(shape) for shape in SHAPES])

        def milliseconds() -> float:
            started = time.perf_counter()
            for _ in range(steps):
                results = add(gradients)
            for one in strategy.experimental_local_results(results[-1]):
                one.numpy()
            return 1000 * (time.perf_counter() - started) / steps

        milliseconds()
        return milliseconds

    return {f"{count} devices": make_addition(count) for count in COUNTS}


def measure(
    splits: datasets.Splits, *, steps: int, rounds: int, batch_size: int
) -> report.Report:
    """Measures the kinds in turn, `rounds` times `steps` steps."""
    trained = report.measure_in_turn(
        make_trainings(splits, steps, batch_size), rounds
    )
    added = report.measure_in_turn(make_additions(steps), rounds)
    return report.Report(
        [
            report.Table(
                f"Training of the CNN, {batch_size} examples on all devices",
                "ms per step",
                trained,
                bases=("one",),
                digits=1,
            ),
            report.Table(
                "Adding up gradients of the CNN's size, and nothing else",
                "ms",
                added,
                bases=("2 devices",),
                digits=1,
            ),
        ]
    )


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    if not tf.config.list_physical_devices("GPU"):
        # The CPU can be split only once, before TensorFlow uses it.
        distribution.mirrored_strategy(max(COUNTS))
    measure(
        datasets.load_mnist(),
        steps=values.steps,
        rounds=values.rounds,
        batch_size=values.batch_size,
    ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
