"""Checks of what `compile` and `fit` are given."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import check_integer
from keras_port._support import graph_check
from keras_port.datasets import known_labels
from keras_port.losses import CourseCrossEntropy
from keras_port.losses import check_labels


def check_clipnorm(global_clipnorm: float | None) -> None:
    """Raises `ValueError` unless the norm's limit is `None` or positive."""
    if global_clipnorm is not None and not global_clipnorm > 0:
        raise ValueError(
            "`global_clipnorm` must be positive, or None for no limit. "
            f"Received: global_clipnorm={global_clipnorm}"
        )


def check_accumulation(
    steps: int | None, optimizer: keras.optimizers.Optimizer | None
) -> None:
    """Raises `ValueError` for an accumulation that cannot work.

    Args:
        steps: Number of batches for one update, or `None`.
        optimizer: The optimizer, which must not accumulate as well.
    """
    if steps is None:
        return
    check_integer("gradient_accumulation_steps", steps, note=", or None")
    # Under `mixed_float16` the optimizer is the one inside.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if getattr(inner, "gradient_accumulation_steps", None):
        raise ValueError(
            "`gradient_accumulation_steps` is given to both `compile` and "
            "the optimizer, and would be multiplied. Give it to one of them."
        )


def takes_integer_labels(loss: Any) -> bool:
    """Tells whether `loss`, as given to `compile`, reads integer labels."""
    if isinstance(loss, str):
        return loss == "sparse_categorical_crossentropy"
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


def check_labels_in(x: Any, y: Any, num_classes: int) -> Any:
    """Returns `x` as `fit` takes it, with its labels checked.

    An out-of-range label is an error on the CPU, NaN under XLA and on a GPU
    (tensorflow#126005), or a loss of 0. So labels are checked on the host,
    whatever compiles the step.

    Args:
        x: Arrays, or a dataset of (inputs, labels).
        y: Labels for arrays, or `None`.
        num_classes: Number of classes; labels run from 0 to one below it.

    Returns:
        `x`, or the dataset with a check of every batch on the host. The labels
        of `shuffled_batches` are known in advance and are checked at once.

    Raises:
        ValueError: For labels that are not classes: at once if they are
            known, otherwise when their batch is read.
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

    # Made of TensorFlow's operations alone; AutoGraph cannot read a lambda that
    # does not begin its line, and warns.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def check_batch(*batch: Any) -> tuple[Any, ...]:
        return check_labels_of_batch(batch, num_classes)

    return x.map(check_batch)


def are_integer_labels(shape: Any, num_classes: int) -> bool:
    """Tells labels of shape (batch,) or (batch, 1) from one-hot rows."""
    if isinstance(shape, tf.TensorShape) and shape.rank is None:
        return False
    return len(shape) == 1 or (
        len(shape) == 2 and shape[1] == 1 and num_classes != 1
    )


def check_labels_of_batch(
    batch: tuple[Any, ...], num_classes: int
) -> tuple[Any, ...]:
    """Returns `batch`; reading it fails if its labels are not classes."""
    inputs, labels, *weights = batch
    # NaN must not be valid, so this is not written the other way around.
    valid = (labels >= 0) & (labels < num_classes)
    if labels.dtype.is_floating:
        valid &= tf.equal(labels, tf.floor(labels))
    message = (
        f"Labels must be integers from 0 to {num_classes - 1}, because the "
        f"model has {num_classes} outputs. Received in a batch of the "
        "dataset: smallest and largest label"
    )
    check = graph_check(
        tf.reduce_all(valid),
        message,
        [tf.reduce_min(labels), tf.reduce_max(labels)],
    )
    with tf.control_dependencies([check]):
        return inputs, tf.identity(labels), *weights
