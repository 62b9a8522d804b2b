"""Measures when a gradient is faster as a transposed product.

Computes the gradient of the inputs of `x @ w` in float32, for several batch and
layer sizes, in turn in two ways:

- stock: `dy @ transpose(w)`, as TensorFlow computes it;
- transposed: `transpose(w @ transpose(dy))`, as
  `layers.TransposedGradientDense` does.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import itertools
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import tensorflow as tf

from benchmarks import report
from benchmarks.peers.work import time_call
from keras_port.layers import transposed_gradient_dense

# Examples, inputs, units: those of the course's fc1, and others.
SIZES = (
    *((batch, 3136, 1024) for batch in (16, 50, 100, 200, 256, 500, 1000)),
    (32, 1024, 1024),
    (100, 784, 512),
    (100, 1024, 10),
)
Product = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def compute_stock_gradient(w: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the inputs, as TensorFlow computes it."""
    return tf.matmul(dy, w, transpose_b=True)


def compute_transposed_gradient(w: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """Returns the gradient that `TransposedGradientDense` computes."""
    return transposed_gradient_dense.product_gradients(
        tf.zeros((len(dy), len(w))), w, dy
    )[0]


def make_measurement(
    product: Product, size: tuple[int, int, int], calls: int
) -> Callable[[], float]:
    """Returns a function that measures the seconds of one gradient."""
    batch, inputs, units = size
    w = tf.random.stateless_normal((inputs, units), (1, 2))
    dy = tf.random.stateless_normal((batch, units), (3, 4))
    # The graph keeps only what the returned gradient needs.
    compute = tf.function(functools.partial(product, w, dy), autograph=False)
    compute()

    def loop() -> None:
        for _ in itertools.repeat(None, calls):
            compute()

    return lambda: time_call(loop) / calls


def measure(
    sizes: Sequence[tuple[int, int, int]], *, calls: int, rounds: int
) -> report.Report:
    """Measures both ways for every size."""
    tables = []
    for size in sizes:
        kinds = {
            "stock": make_measurement(compute_stock_gradient, size, calls),
            "transposed": make_measurement(
                compute_transposed_gradient, size, calls
            ),
        }
        values = report.measure_in_turn(kinds, rounds, warm_up=1)
        batch, inputs, units = size
        tables.append(
            report.Table(
                f"{batch} examples, {inputs} inputs, {units} units",
                "ms",
                {k: [1000 * s for s in times] for k, times in values.items()},
                subject="transposed",
                digits=2,
            )
        )
    return report.Report(tables)


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    measure(SIZES, calls=values.calls, rounds=values.rounds).publish()


if __name__ == "__main__":
    report.define_flags(rounds=5)
    flags.DEFINE_integer("calls", 50, "Gradients per measurement.")
    app.run(main)
