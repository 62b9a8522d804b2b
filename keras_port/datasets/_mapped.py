"""Arrays in a memory-mapped file."""

from collections.abc import Callable
from collections.abc import Sequence
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def is_mapped(array: Any) -> bool:
    """Returns whether an array is a mapped file or a view of one.

    The type is not enough: a view may be a plain array, and a copy of an
    `np.memmap` in memory has the type `np.memmap`.
    """
    while isinstance(array, (np.ndarray, memoryview)):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return isinstance(array, mmap.mmap)


def row_gatherer(
    images: npt.NDArray[np.uint8], shape: Sequence[int]
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function that gathers images by their indices.

    Images in memory are held as one tensor. Of images in a mapped file, only
    those of a batch are read.

    Args:
        images: uint8 (n, height, width).
        shape: Shape of one image in the result, of as many pixels.

    Returns:
        Function of a vector of indices; returns uint8
        (len(indices), *shape).
    """
    if not is_mapped(images):
        held = tf.constant(images.reshape(len(images), *shape))
        return lambda indices: tf.gather(held, indices)

    # In the shape of the file: cropped images in another shape are a copy. As a
    # plain array, whose indexing is quicker than that of `np.memmap`.
    mapped = np.asarray(images)

    def read(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        return mapped[indices]

    def gather(indices: tf.Tensor) -> tf.Tensor:
        # Not stateful: the same indices give the same images.
        rows = tf.numpy_function(read, [indices], tf.uint8, stateful=False)
        # Also sets the shape, which is unknown after a Python function.
        return tf.reshape(rows, (indices.shape[0] or -1, *shape))

    return gather
