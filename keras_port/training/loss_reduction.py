"""How a loss goes from examples to a batch, and from batches to more."""

from typing import Any

import tensorflow as tf


def is_summed(loss: Any) -> bool:
    """Tells whether each loss given to `compile` is a sum over the batch."""
    losses = tf.nest.flatten(loss)
    return all(getattr(one, "reduction", None) == "sum" for one in losses)


def batch_size_of(x: Any) -> tf.Tensor:
    """Returns the number of examples in a batch of inputs."""
    return tf.shape(tf.nest.flatten(x)[0])[0]
