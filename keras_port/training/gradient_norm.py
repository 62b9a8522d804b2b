"""The norm of all gradients together."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def global_norm(gradients: Sequence[Any]) -> tf.Tensor:
    """Returns the norm of all gradients together, without missing ones.

    Args:
        gradients: Gradients, perhaps of several dtypes, and `None`.
    """
    return compute_norm(
        [sum_repeated_rows(g) for g in gradients if g is not None]
    )


def compute_norm(present: Sequence[Any]) -> tf.Tensor:
    """Returns the norm of gradients that have every row at most once."""
    if len({one.dtype for one in present}) <= 1:
        return tf.linalg.global_norm(present)
    squares = [
        tf.cast(tf.linalg.global_norm([one]), tf.float64) ** 2
        for one in present
    ]
    return tf.sqrt(tf.add_n(squares))


def clip_by_global_norm(gradients: Sequence[Any], limit: float) -> list[Any]:
    """Returns the gradients, scaled down if their norm is over a limit.

    Args:
        gradients: Gradients, perhaps of several dtypes.
        limit: Largest norm of all of them together.
    """
    present = [sum_repeated_rows(gradient) for gradient in gradients]
    norm = compute_norm(present)
    clipped: list[Any] = []
    for gradient in present:
        own = tf.cast(norm, gradient.dtype)
        clipped += tf.clip_by_global_norm([gradient], limit, use_norm=own)[0]
    return clipped


def sum_repeated_rows(gradient: Any) -> Any:
    """Returns a gradient that has every row at most once.

    That of an embedding has a row for every token. Its norm would be wrong for
    tokens that come twice.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(
        gradient.values, places, tf.size(rows)
    )
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
