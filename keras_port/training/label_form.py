"""Labels in the form that a model's metrics take."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_port.losses import CourseCrossEntropy

# Keras resolves "accuracy" and "crossentropy" to one of these, by the first
# labels that it sees.
INTEGER_METRICS = (
    keras.metrics.SparseCategoricalAccuracy,
    keras.metrics.SparseCategoricalCrossentropy,
    keras.metrics.SparseTopKCategoricalAccuracy,
)
ONE_HOT_METRICS = (
    keras.metrics.CategoricalAccuracy,
    keras.metrics.CategoricalCrossentropy,
    keras.metrics.TopKCategoricalAccuracy,
)


def match_label_form(model: keras.Model, y: Any) -> Any:
    """Returns labels in the form that the metrics of a model take.

    `CourseCrossEntropy` takes integers and one-hot rows, so nothing stops a
    program that trains on one form and evaluates on the other. But a metric
    takes one form, and its value for the other is wrong without an error.

    Args:
        model: A compiled model.
        y: Targets of a batch: integers of shape (batch,) or (batch, 1), or
            rows of shape (batch, classes).

    Returns:
        `y` for a model with another loss, and while the metrics do not exist.
    """
    shape = getattr(model, "output_shape", None)
    if (
        not isinstance(model.loss, CourseCrossEntropy)
        or not isinstance(shape, tuple)
        or not tf.is_tensor(y)
    ):
        return y
    classes = shape[-1]
    are_rows = y.shape.rank == 2 and y.shape[-1] == classes and classes != 1
    metrics = list(list_metrics(model))
    takes_integers = any(isinstance(m, INTEGER_METRICS) for m in metrics)
    takes_rows = any(isinstance(m, ONE_HOT_METRICS) for m in metrics)
    if takes_integers and takes_rows:
        return y
    if are_rows and takes_integers:
        return tf.argmax(y, axis=-1)
    if not are_rows and takes_rows:
        integers = tf.cast(tf.reshape(y, (-1,)), tf.int64)
        return tf.one_hot(integers, classes, dtype=tf.float32)
    return y


def list_metrics(model: keras.Model) -> Iterator[keras.metrics.Metric]:
    """Yields the metrics of a model, those of `compile` one by one."""
    for metric in model.metrics:
        yield metric
        # Keras keeps those of `compile` in one metric, as a list.
        yield from getattr(metric, "metrics", [])
