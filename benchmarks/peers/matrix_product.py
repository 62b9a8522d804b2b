"""The limit of the machine: the operations of the steps as matrix products."""

import tensorflow as tf

from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import flop_per_example
from benchmarks.peers.work import time_call

# Sizes of square matrices to try; the fastest one is the limit.
SIZES = (1024, 2048, 3072)


def make(work: Work, _: Mnist) -> Measurement:
    """Returns a function that measures as many operations as the steps need.

    The time includes nothing else of a step: no batch, no element-wise
    operation, no update.
    """
    needed = work.steps * work.batch_size * flop_per_example(work.model)
    dtype = tf.dtypes.as_dtype(work.precision)
    speeds = {size: speed(size, dtype, 1) for size in SIZES}
    best = max(speeds, key=speeds.__getitem__)
    count = max(1, round(needed / flop(best)))
    return lambda: needed / speed(best, dtype, count)


def speed(size: int, dtype: tf.DType, count: int) -> float:
    """Returns the operations per second of `count` products."""
    a = tf.cast(tf.random.normal([size, size]), dtype)

    def products() -> None:
        for _ in range(count):
            c = tf.linalg.matmul(a, a)
        c.numpy()

    tf.linalg.matmul(a, a).numpy()
    return count * flop(size) / time_call(products)


def flop(size: int) -> int:
    """Returns the operations of the product of two square matrices."""
    return 2 * size**3
