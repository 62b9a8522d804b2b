"""Checks of what `compile` and `fit` are given."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import check_integer
from keras_port._support import graph_check
from keras_port.datasets import get_own_batches
from keras_port.losses import CourseCrossEntropy
from keras_port.losses import check_labels
from keras_port.training.loss_reduction import check_divisible


def check_clipnorm(global_clipnorm: float | None) -> None:
    """Raises `ValueError` unless the norm's limit is `None` or positive."""
    if global_clipnorm is not None and not global_clipnorm > 0:
        raise ValueError(
            "`global_clipnorm` must be positive, or None for no limit. "
            f"Received: global_clipnorm={global_clipnorm}"
        )


def check_accumulation(
    steps: int | None,
    optimizer: keras.optimizers.Optimizer | None,
    loss: Any,
) -> None:
    """Raises `ValueError` for an accumulation that cannot work.

    Args:
        steps: Number of batches for one update, or `None`.
        optimizer: The optimizer, which must not accumulate as well.
        loss: Loss as given to `compile`.
    """
    if steps is None:
        return
    check_divisible(loss, None, "With `gradient_accumulation_steps`")
    check_integer("gradient_accumulation_steps", steps, note=", or None")
    # Under `mixed_float16` the optimizer is the one inside.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if getattr(inner, "gradient_accumulation_steps", None):
        raise ValueError(
            "`gradient_accumulation_steps` is given to both `compile` and "
            "the optimizer, and would be multiplied. Give it to one of them."
        )


@dataclasses.dataclass(frozen=True)
class LabelRange:
    """The integer labels that a loss reads.

    Args:
        num_classes: Number of classes; labels run from 0 to one below it.
        ignored: Label of the examples that the loss leaves out, or `None`.
    """

    num_classes: int
    ignored: int | None = None

    def check(self, labels: Any) -> None:
        """Raises `ValueError` unless all labels are classes or ignored."""
        labels = np.asarray(labels)
        if self.ignored is not None:
            labels = labels[labels != self.ignored]
        check_labels(labels, self.num_classes)

    def is_valid(self, labels: tf.Tensor) -> tf.Tensor:
        """Returns for every label whether it is a class or ignored."""
        if labels.dtype.is_integer:
            # In uint8, 256 classes would be 0.
            labels = tf.cast(labels, tf.int64)
        # NaN must not be valid, so this is not written the other way around.
        valid = (labels >= 0) & (labels < self.num_classes)
        if labels.dtype.is_floating:
            valid &= tf.equal(labels, tf.floor(labels))
        if self.ignored is not None:
            valid |= tf.equal(labels, tf.cast(self.ignored, labels.dtype))
        return valid


def takes_integer_labels(loss: Any) -> bool:
    """Tells whether `loss`, as given to `compile`, reads integer labels.

    A subclass may read its labels in another way.
    """
    if isinstance(loss, str):
        return loss == "sparse_categorical_crossentropy"
    return (
        type(loss)
        in (CourseCrossEntropy, keras.losses.SparseCategoricalCrossentropy)
        or loss is keras.losses.sparse_categorical_crossentropy
    )


def get_label_range(model: keras.Model) -> LabelRange | None:
    """Returns the labels of a model if its loss reads integer labels.

    `None` for another loss, and for a model of several or unknown outputs.
    """
    shape = getattr(model, "output_shape", None)
    if not takes_integer_labels(model.loss) or not isinstance(shape, tuple):
        return None
    if shape[-1] is None:
        return None
    return LabelRange(shape[-1], getattr(model.loss, "ignore_class", None))


def check_labels_in(x: Any, y: Any, labels: LabelRange) -> Any:
    """Returns `x` as `fit` takes it, with its labels checked.

    An out-of-range label is an error on the CPU, NaN under XLA and on a GPU
    (tensorflow#126005), or a loss of 0. So labels are checked on the host,
    whatever compiles the step.

    Args:
        x: Arrays, or a dataset of (inputs, labels).
        y: Labels for arrays, or `None`.
        labels: The labels that the loss reads.

    Returns:
        `x`, or the dataset with a check of every batch on the host. The labels
        of `shuffled_batches` are known in advance and are checked at once.

    Raises:
        ValueError: For labels that are not classes: at once if they are
            known, otherwise when their batch is read.
    """
    if y is not None:
        if are_integer_labels(np.shape(y), labels.num_classes):
            labels.check(y)
        return x
    if not isinstance(x, tf.data.Dataset):
        return x
    spec = x.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        return x
    if not isinstance(spec[1], tf.TensorSpec) or not are_integer_labels(
        spec[1].shape, labels.num_classes
    ):
        return x
    own = get_own_batches(x)
    if own is not None:
        labels.check(own.labels)
        return x

    # Made of TensorFlow's operations alone, so AutoGraph has nothing to do.
    @tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
    def check_batch(*batch: Any) -> Any:
        return check_labels_of_batch(batch, labels)

    return x.map(check_batch)


def are_integer_labels(shape: Any, num_classes: int) -> bool:
    """Tells labels of shape (batch,) or (batch, 1) from one-hot rows."""
    if isinstance(shape, tf.TensorShape) and shape.rank is None:
        return False
    return len(shape) == 1 or (
        len(shape) == 2 and shape[1] == 1 and num_classes != 1
    )


def check_labels_of_batch(
    batch: tuple[Any, ...], labels: LabelRange
) -> tuple[Any, ...]:
    """Returns `batch`; reading it fails if its labels are not classes."""
    inputs, targets, *weights = batch
    num_classes = labels.num_classes
    message = (
        f"Labels must be integers from 0 to {num_classes - 1}, because the "
        f"model has {num_classes} outputs. Received in a batch of the "
        "dataset: smallest and largest label"
    )
    check = graph_check(
        tf.reduce_all(labels.is_valid(targets)),
        message,
        [tf.reduce_min(targets), tf.reduce_max(targets)],
    )
    with tf.control_dependencies([check]):
        return inputs, tf.identity(targets), *weights
