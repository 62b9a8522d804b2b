"""The graphs of a training step and of the layers."""

import json
from typing import Any

from absl import logging
import keras
import tensorflow as tf

from keras_port.inspection import clean_graph_def
from keras_port.training import get_workers
from keras_port.training import takes_integer_labels

# The names of the parts of a step on the slides of the course. A
# `GradientModel` gives them to its own step.
LOSS = "cross_entropy"
GRADIENTS = "gradients"
TRAINER = "trainer"
EVALUATOR = "evaluator"


def write_step_graph(
    model: keras.Model,
    writer: tf.summary.SummaryWriter,
    batch: tuple[Any, Any] | None,
) -> None:
    """Writes the operations of one training step for the page Graphs.

    The step is that of the training: the model's own `train_step`. It is
    traced but not run, so the model does not change.

    Args:
        model: A compiled model with its weights and slots.
        writer: Writer of the `train` run.
        batch: Inputs and targets, for their shapes; `None` to infer the
            shapes from the model, which must then be a functional one.
    """
    specs = get_specs(model, batch)
    if specs is None:
        logging.warning(
            "The graph of %s is not written: the shapes of its inputs are "
            "unknown. Pass a batch: `TensorBoard(..., data=(x, y))`.",
            model.name,
        )
        return
    try:
        function = tf.function(
            lambda x, y: run_step(model, x, y), autograph=False
        ).get_concrete_function(*specs)
    # A `train_step` of one's own may raise anything, and want other data than
    # that of the page. The training has no need of this graph.
    except Exception as error:  # noqa: BLE001
        logging.warning(
            "The graph of %s is not written: its `train_step` raised %s: %s",
            model.name,
            type(error).__name__,
            error,
        )
        return
    graph = clean_graph_def(
        function,
        model,
        # Where TensorFlow puts the operations of a tape.
        rename_scopes={"gradient_tape": GRADIENTS},
    )
    with writer.as_default():
        tf.summary.graph(graph)


def run_step(model: keras.Model, x: Any, y: Any) -> None:
    """Runs the training step of a model, under the slides' names."""
    is_stock = type(model).train_step is keras.Model.train_step
    # Only the chief writes the graph. If it alone traced a step with
    # collective operations, their keys would no longer be those of the others.
    if is_stock or get_workers(model) is not None:
        run_stock_step(model, x, y)
    else:
        model.train_step((x, y))


def run_stock_step(model: keras.Model, x: Any, y: Any) -> None:
    """Runs the operations of Keras' own step, which has no scopes."""
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        with tf.name_scope(LOSS):
            loss = model.compute_loss(x, y, outputs, training=True)
    with tf.name_scope(GRADIENTS):
        gradients = tape.gradient(loss, weights)
    with tf.name_scope(TRAINER):
        model.optimizer.apply(gradients, weights)
    with tf.name_scope(EVALUATOR):
        model.compute_metrics(x, y, outputs, sample_weight=None)


def get_specs(model: keras.Model, batch: tuple[Any, Any] | None) -> Any:
    """Returns the shapes and types of a batch, `None` if they are unknown."""
    if batch is not None:
        return tf.nest.map_structure(get_open_spec, batch)
    inputs = getattr(model, "inputs", None)
    outputs = getattr(model, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1 or len(outputs) != 1:
        return None
    x = tf.TensorSpec(inputs[0].shape, inputs[0].dtype)
    if takes_integer_labels(model.loss):
        return x, tf.TensorSpec(outputs[0].shape[:1], tf.int32)
    return x, tf.TensorSpec(outputs[0].shape, outputs[0].dtype)


def get_open_spec(tensor: tf.Tensor) -> tf.TensorSpec:
    """Returns the spec of a tensor for any batch size."""
    return tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype)


def write_layer_graph(
    model: keras.Model, writer: tf.summary.SummaryWriter
) -> None:
    """Writes Keras' own graph of the layers, under the tag `keras`."""
    try:
        config = model.to_json()
        layers = json.loads(config)["config"].get("layers")
    except NotImplementedError:
        layers = None
    if layers is None:
        # The page cannot show the configuration of a subclassed model.
        logging.info(
            "The layers of %s are not drawn: it has no configuration.",
            model.name,
        )
        return
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "graph_keras_model"
    metadata.plugin_data.content = b"1"
    with writer.as_default():
        tf.summary.write("keras", config, step=0, metadata=metadata)
