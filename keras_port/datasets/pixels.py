"""Scales pixels from 0 to 255 to floats from 0 to 1, once."""

from typing import Any
from typing import overload

import numpy as np
import numpy.typing as npt
import tensorflow as tf

FIX = (
    "Pass the uint8 pixels, which are scaled here, or divide floats by 255 "
    "once."
)


@overload
def scale_pixels(images: npt.ArrayLike) -> npt.NDArray[np.float32]: ...
@overload
def scale_pixels(images: tf.Tensor) -> tf.Tensor: ...
def scale_pixels(images: Any) -> Any:
    """Scales pixels from 0 to 255 to floats from 0 to 1, only once.

    Integers are divided by 255. Floats from 0 to 1 are already scaled and do
    not change. Arrays and tensors give the same result to the bit, even in a
    `tf.function` and with XLA.

    Args:
        images: Array or `tf.Tensor` of any shape; uint8, another integer type
            with values from 0 to 255, or floats from 0 to 1.

    Returns:
        float32 of the same shape: an array for an array, a tensor for a
        tensor. Floats that are float32 already are not copied.

    Raises:
        ValueError: If floats are over 1, below 0 or NaN, or integers outside 0
            to 255. The values of a symbolic tensor are unknown and not checked.
            Also for any other dtype.

    Example:

    >>> pixels = np.array([0, 51, 255], np.uint8)
    >>> keras_port.datasets.scale_pixels(pixels)
    array([0. , 0.2, 1. ], dtype=float32)
    """
    if tf.is_tensor(images):
        return scale_tensor(images)
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return divide_array(images)
    check_values(images)
    if images.dtype.kind in "iu":
        return divide_array(images)
    return images.astype(np.float32, copy=False)


def divide_array(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Returns an array of whole numbers divided by 255."""
    return images.astype(np.float32) / np.float32(255)


def scale_tensor(images: tf.Tensor) -> tf.Tensor:
    """Returns a scaled tensor, as `scale_pixels` does for an array."""
    if not (images.dtype.is_integer or images.dtype.is_floating):
        raise wrong_type(images.dtype.name)
    if images.dtype != tf.uint8 and tf.executing_eagerly():
        check_values(images.numpy())
    floats = tf.cast(images, tf.float32)
    if images.dtype.is_floating:
        return floats
    # x / 255 = x / 256 + x / 256 / 255. In a tf.function, TensorFlow replaces
    # x / 255 by x * (1 / 255), which is one bit off for 126 of the 256 values.
    # Here x / 256 is exact, and the sum is rounded right with either form of
    # the second term (all 256 values are tested). Division in float64 is right
    # too, but adds half to the time of a batch.
    part = floats / 256
    return part + part / 255


def check_values(images: npt.NDArray[Any]) -> None:
    """Raises `ValueError` unless floats are in [0, 1], integers in [0, 255]."""
    name = images.dtype.name
    is_integer = images.dtype.kind in "iu"
    # NumPy has no kind for bfloat16 and similar dtypes, only a name.
    if not (is_integer or "float" in name):
        raise wrong_type(name)
    if not images.size:
        return
    most = 255 if is_integer else 1
    low, high = images.min(), images.max()
    # Not negated, because every comparison with NaN is false.
    if low >= 0 and high <= most:
        return
    kind = "integer" if is_integer else "float"
    raise ValueError(
        f"`images` of a {kind} dtype must have values from 0 to {most}. "
        f"Received: {name} from {low} to {high}. {FIX}"
    )


def wrong_type(name: str) -> ValueError:
    """Returns the error for a dtype that cannot hold pixels."""
    return ValueError(
        "`images` must be uint8 from 0 to 255, or floats from 0 to 1. "
        f"Received: type {name}. {FIX}"
    )
