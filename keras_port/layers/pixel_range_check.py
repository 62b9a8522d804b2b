"""A check for pixels that have not been scaled."""

import keras
import tensorflow as tf

from keras_port._support import graph_check

MESSAGE = (
    "Pixels must be from 0 to 1. Divide float images by 255 once, or give the "
    "model the uint8 images, which it scales itself. Received: an image with "
    "smallest and largest pixel"
)


@keras.saving.register_keras_serializable(package="keras_port")
class PixelRangeCheck(keras.layers.Layer):  # type: ignore[misc]
    """Returns its inputs, and rejects pixels that are not in [0, 1].

    Pixels from 0 to 255 would train a bad model without an error. This layer is
    the first of a model and checks the first image of every batch. Missing
    scaling affects every image, so one is enough, and the check takes almost no
    time.

    Call arguments:
        inputs: Floating tensor of shape (batch, ...), pixels in [0, 1].

    Raises:
        ValueError: If a pixel of the first image is over 1, below 0 or NaN.
            Inside a `tf.function` it is a `tf.errors.InvalidArgumentError`
            with the same text, which `fit`, `evaluate` and `predict` of the
            course's models turn into the `ValueError`. XLA drops the check.

    Example:

    >>> layer = keras_port.layers.PixelRangeCheck()
    >>> layer(np.full((1, 4), 0.5, "float32")).shape
    TensorShape([1, 4])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs`, checked."""
        first = inputs[:1]
        low, high = tf.reduce_min(first), tf.reduce_max(first)
        # Counted, not compared, because the smallest of some NaN is not NaN.
        # An empty batch passes.
        within = tf.reduce_all((first >= 0) & (first <= 1))
        if not tf.executing_eagerly():
            check = graph_check(within, MESSAGE, [low, high])
            with tf.control_dependencies([check]):
                return tf.identity(inputs)
        if not within:
            raise ValueError(f"{MESSAGE} {float(low):.4g}, {float(high):.4g}")
        return inputs

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Returns `input_shape`."""
        return input_shape
