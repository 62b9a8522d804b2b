"""Looks at integer labels before the first step, whatever compiles the loss.

A label that is no class is an error on the CPU, a NaN under XLA and on a GPU
(tensorflow#126005), or a loss of 0. So labels are looked at on the host, where
the compiler of the step has no say.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import graph_check
from keras_port.datasets._known_labels import known_labels
from keras_port.losses import CourseCrossEntropy
from keras_port.losses import check_labels

SPARSE_NAMES = ("sparse_categorical_crossentropy",)


def takes_integer_labels(loss: Any) -> bool:
    """Tells whether `loss`, as given to `compile`, reads integer labels."""
    if isinstance(loss, str):
        return loss in SPARSE_NAMES
    return (
        isinstance(
            loss,
            CourseCrossEntropy | keras.losses.SparseCategoricalCrossentropy,
        )
        or loss is keras.losses.sparse_categorical_crossentropy
    )


def integer_label_classes(model: keras.Model) -> int | None:
    """Returns the number of classes if the loss reads integer labels.

    `None` for another loss, and for a model of several or unknown outputs.
    """
    shape = getattr(model, "output_shape", None)
    if not takes_integer_labels(model.loss) or not isinstance(shape, tuple):
        return None
    classes: int | None = shape[-1]
    return classes


def checked_labels(x: Any, y: Any, num_classes: int) -> Any:
    """Returns `x` as `fit` takes it, with the labels checked.

    Args:
        x: Arrays, or a dataset of (inputs, labels).
        y: Labels for arrays, or `None`.
        num_classes: Number of classes; labels run from 0 to one below it.

    Returns:
        `x`, or the dataset with a check of each batch on the host. Behind the
        batches of `shuffled_batches` the labels are known.

    Raises:
        ValueError: At once where the labels are known; for another dataset,
            when the batch is read.
    """
    if y is not None:
        labels = np.asarray(y)
        if are_integer_labels(labels.shape, num_classes):
            check_labels(labels, num_classes)
        return x
    if not isinstance(x, tf.data.Dataset):
        return x
    spec = x.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        return x
    labels = spec[1]
    if not isinstance(labels, tf.TensorSpec) or not are_integer_labels(
        labels.shape, num_classes
    ):
        return x
    known = known_labels(x)
    if known is not None:
        check_labels(known, num_classes)
        return x
    return x.map(lambda *batch: checked_batch(batch, num_classes))


def are_integer_labels(shape: Any, num_classes: int) -> bool:
    """Tells labels of shape (batch,) or (batch, 1) from one-hot rows."""
    if isinstance(shape, tf.TensorShape) and shape.rank is None:
        return False
    return len(shape) == 1 or (
        len(shape) == 2 and shape[1] == 1 and num_classes != 1
    )


def checked_batch(batch: tuple[Any, ...], num_classes: int) -> tuple[Any, ...]:
    """Returns `batch`, to be read only if its labels are classes."""
    inputs, labels, *weights = batch
    # Not the opposite, which is false for NaN.
    right = (labels >= 0) & (labels < num_classes)
    if labels.dtype.is_floating:
        right &= tf.equal(labels, tf.floor(labels))
    message = (
        f"Labels must be integers from 0 to {num_classes - 1}, because the "
        f"model has {num_classes} outputs. Received in a batch of the "
        "dataset: smallest and largest label"
    )
    check = graph_check(
        tf.reduce_all(right),
        message,
        [tf.reduce_min(labels), tf.reduce_max(labels)],
    )
    with tf.control_dependencies([check]):
        return inputs, tf.identity(labels), *weights
