"""Finds the shapes of outputs that a graph does not tell, by trying."""

from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf

from keras_port.tf1.graph.read import GraphInput

# What stands for a size that is open, in the first trial and in the second.
SIZES = (2, 3)


def probed(
    run: Callable[[list[tf.Tensor]], Sequence[tf.Tensor]],
    inputs: Sequence[GraphInput],
) -> list[tuple[int | None, ...]]:
    """Returns the shapes of outputs, `None` where they follow an input's.

    Args:
        run: Computes the outputs.
        inputs: What it takes; each must say how many axes it has.
    """
    trials = []
    # Whatever is being built, this is computed now.
    with tf.init_scope():
        for size in SIZES:
            zeros = [
                tf.zeros([n or size for n in one.shape or ()], one.dtype)
                for one in inputs
            ]
            trials.append([tuple(output.shape) for output in run(zeros)])
    return [
        tuple(a if a == b else None for a, b in zip(*pair, strict=True))
        for pair in zip(*trials, strict=True)
    ]
