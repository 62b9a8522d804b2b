"""Shifts the images of a batch at random by a few pixels."""

import tensorflow as tf


def shift_randomly(
    images: tf.Tensor, max_shift: int, seed: int, step: tf.Tensor
) -> tf.Tensor:
    """Shifts every image at random, and fills the border with black.

    Args:
        images: Of shape (batch, height, width).
        max_shift: Largest shift in pixels, up or down and left or right; every
            shift is equally likely.
        seed: Whole number from 0 to 2**63 - 1.
        step: Number of the batch, int64; the shifts depend on it and on
            `seed` alone.

    Returns:
        Images of the same shape and type.
    """
    count, height, width = tf.unstack(tf.shape(images))
    margin = [max_shift, max_shift]
    padded = tf.pad(images, [[0, 0], margin, margin])
    corners = tf.random.experimental.stateless_fold_in(
        tf.stack([tf.constant(seed, tf.int64), tf.constant(0, tf.int64)]), step
    )
    corners = tf.random.stateless_uniform(
        (2, count, 1), corners, 0, 2 * max_shift + 1, tf.int32, alg="philox"
    )
    rows = corners[0] + tf.range(height)
    columns = corners[1] + tf.range(width)
    moved = tf.gather(padded, rows, batch_dims=1)
    # Columns by a second gather of rows: a gather along the last axis is slow.
    moved = tf.transpose(moved, [0, 2, 1])
    moved = tf.gather(moved, columns, batch_dims=1)
    return tf.transpose(moved, [0, 2, 1])
