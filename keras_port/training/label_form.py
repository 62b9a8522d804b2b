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


def list_unbuilt(model: keras.Model) -> list[Any]:
    """Returns the metrics of `compile` if Keras has not chosen them yet."""
    return [
        metric
        for metric in model.metrics
        # Another metric may have an attribute of this name, too.
        if type(metric).__module__.startswith("keras.")
        and hasattr(metric, "metrics")
        and not metric.built
    ]


def choose_metrics(model: keras.Model, element_spec: Any) -> None:
    """Creates the metrics of `compile` before the first step is traced.

    Keras creates them in that step, by the shapes of labels and outputs, and a
    variable that is created while a step is traced forces a second trace. Here
    the shapes are those of the batches and of the model's outputs. Without
    effect where they are not known.

    Args:
        model: A compiled model.
        element_spec: That of the batches.
    """
    unbuilt = list_unbuilt(model)
    if not unbuilt:
        return  # In every call but the first.
    outputs = find_outputs(model)
    if outputs is None:
        return
    _, labels, _ = keras.utils.unpack_x_y_sample_weight(element_spec)
    specs = tf.nest.flatten(labels)
    if not all(
        isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
        for spec in specs
    ):
        return
    tensors = [keras.KerasTensor(spec.shape.as_list()) for spec in specs]
    for metric in unbuilt:
        metric.build(tf.nest.pack_sequence_as(labels, tensors), outputs)


def find_outputs(model: keras.Model) -> Any:
    """Returns symbolic outputs as the model returns them, if they are known.

    `None` for a model with a `call` of its own, which may return others.
    """
    if not type(model).call.__module__.startswith("keras."):
        return None
    if isinstance(model, keras.Sequential):
        # It has no `output` of its own. Without an input it has no `outputs`.
        found = getattr(model, "outputs", None)
        return found[0] if found else None
    return getattr(model, "output", None)
