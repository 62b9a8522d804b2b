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
            course's models turn into the `ValueError`. XLA drops the check;
            `fit` of the course's models makes it before the compiled step.

    Example:

    >>> layer = keras_port.layers.PixelRangeCheck()
    >>> layer(np.full((1, 4), 0.5, "float32")).shape
    TensorShape([1, 4])
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs`, checked."""
        if not tf.executing_eagerly():
            with tf.control_dependencies([self.check(inputs[:1])]):
                return tf.identity(inputs)
        low, high, within = compute_range(inputs[:1])
        if not within:
            raise ValueError(f"{MESSAGE} {float(low):.4g}, {float(high):.4g}")
        return inputs

    def check(self, images: tf.Tensor) -> tf.Operation:
        """Returns an operation that fails if a pixel is not in [0, 1].

        Args:
            images: Symbolic floating tensor; all of them are checked.
        """
        low, high, within = compute_range(images)
        return graph_check(within, MESSAGE, [low, high])

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Returns `input_shape`."""
        return input_shape


def compute_range(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the smallest and largest pixel, and whether all are in [0, 1]."""
    # Counted, not compared, because the smallest of some NaN is not NaN. An
    # empty batch passes.
    within = tf.reduce_all((images >= 0) & (images <= 1))
    return tf.reduce_min(images), tf.reduce_max(images), within
