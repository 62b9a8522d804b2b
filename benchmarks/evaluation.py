"""Measures what one evaluation costs compared with the bare forward passes.

Evaluates the course's CNN on 5,000 images, in turn with

- keras_port: `Evaluator`, as `StepEvaluation` runs it during `fit`;
- forward: the network alone in a `tf.function`, over slices of images that
  already are floats, with the fastest slice size;
- keras: `Model.evaluate` on arrays, with slices of the same size.
"""

from collections.abc import Callable
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import tensorflow as tf

from benchmarks import report
from benchmarks.peers import keras_fit
from benchmarks.peers import keras_port_fit
from benchmarks.peers import work as peers_work
from benchmarks.peers.work import Images
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call
from keras_port import training

# Slice sizes to try, in images.
SIZES = (100, 250, 500, 1000, 5000)


def define_flags() -> None:
    """Defines the flags of this script."""
    report.define_flags(rounds=10)
    flags.DEFINE_multi_enum(
        "precision",
        ["float32"],
        ["float32", "bfloat16"],
        "Precision of the computation.",
    )


def forward(work: Work, images: Images, size: int) -> Callable[[], float]:
    """Returns a function that measures the network alone, slice by slice."""
    model = keras_fit.build_model(work)
    x, _ = keras_fit.floats(images)
    slices = [tf.constant(x[at : at + size]) for at in range(0, len(x), size)]

    @tf.function(reduce_retracing=True)
    def outputs(x: tf.Tensor) -> tf.Tensor:
        return model(x, training=False)

    def passes() -> None:
        for each in slices:
            values = outputs(each)
        values.numpy()

    passes()
    return lambda: time_call(passes)


def find_fastest(work: Work, images: Images) -> tuple[int, Callable[[], float]]:
    """Returns the fastest slice size, and a function that measures it."""
    passes = {
        size: forward(work, images, size)
        for size in SIZES
        if size <= len(images.labels)
    }
    seconds = {
        size: min(run() for _ in range(3)) for size, run in passes.items()
    }
    size = min(seconds, key=seconds.__getitem__)
    return size, passes[size]


def measure(work: Work, images: Images, rounds: int) -> report.Table:
    """Measures the kinds in turn."""
    size, passes = find_fastest(work, images)
    ours = training.Evaluator(
        keras_port_fit.build_model(work), keras_port_fit.image_split(images)
    ).evaluate
    stock = keras_fit.build_compiled_model(work)
    x, y = keras_fit.floats(images)

    def evaluate() -> None:
        stock.evaluate(x, y, batch_size=size, verbose=0)

    kinds = {
        "keras_port": lambda: time_call(ours),
        "forward": passes,
        "keras": lambda: time_call(evaluate),
    }
    seconds = report.measure_in_turn(kinds, rounds, warm_up=1)
    return report.Table(
        f"{len(x):,} images, {work.precision}",
        "ms",
        {kind: [1000 * s for s in values] for kind, values in seconds.items()},
        bases=("forward",),
        digits=1,
        notes=[f"forward and keras: slices of {size:,} images."],
    )


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    images = peers_work.load_mnist().validation
    report.Report(
        [
            measure(Work(precision=precision), images, flags.FLAGS.rounds)
            for precision in flags.FLAGS.precision
        ]
    ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
