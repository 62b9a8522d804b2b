"""Histograms of weights, gradients and activations, named by layer."""

from collections.abc import Iterator
import contextlib
from typing import Any

import keras
import tensorflow as tf

from keras_port.callbacks.tensorboard.histogram import write_histogram
from keras_port.callbacks.tensorboard.layer_calls import observed_calls
from keras_port.callbacks.tensorboard.layers import trainable_weights
from keras_port.callbacks.tensorboard.layers import weight_layers
from keras_port.training.evaluator import kept_metrics


class LayerHistograms:
    """Writes how values are distributed, for each layer with weights.

    Gradients and activations are those of one fixed batch, without dropout, so
    that two histograms differ by the weights alone, and nothing of the
    training is touched: no random state, no moving mean.

    Args:
        model: A compiled model.
        writer: Writer of the `train` run.
        batch: Inputs and targets of the fixed batch; `None` for weights only.
    """

    def __init__(
        self,
        model: keras.Model,
        writer: tf.summary.SummaryWriter,
        batch: tuple[Any, Any] | None,
    ) -> None:
        self.model = model
        self.writer = writer
        self.batch = batch
        # In one function the histograms are counted side by side.
        self._write = tf.function(self._write_all, autograph=False)

    def write(self, step: int) -> None:
        """Writes the histograms of the model as it is now."""
        # With several outputs `compute_loss` keeps a mean of each.
        with kept_metrics(self.model):
            self._write(tf.constant(step, tf.int64), self.batch)

    def _write_all(self, step: tf.Tensor, batch: Any) -> None:
        values: dict[str, Any] = dict(trainable_weights(self.model))
        if batch is not None:
            gradients, activations = self._gradients_and_activations(*batch)
            values |= {
                f"{name}_gradient": gradient
                for name, gradient in zip(values, gradients, strict=True)
                if gradient is not None
            }
            values |= activations
        with self.writer.as_default():
            for name, value in sorted(values.items()):
                write_histogram(name, tf.convert_to_tensor(value), step)

    def _gradients_and_activations(
        self, x: Any, y: Any
    ) -> tuple[list[tf.Tensor | None], dict[str, tf.Tensor]]:
        with recorded_outputs(self.model) as outputs, tf.GradientTape() as tape:
            predictions = self.model(x, training=False)
            loss = self.model.compute_loss(x, y, predictions, training=False)
        gradients = tape.gradient(loss, self.model.trainable_variables)
        return gradients, outputs


@contextlib.contextmanager
def recorded_outputs(model: keras.Model) -> Iterator[dict[str, tf.Tensor]]:
    """Collects what the layers with weights give, inside the block."""
    outputs: dict[str, tf.Tensor] = {}
    layers = weight_layers(model)
    names = {id(layer): name for name, layer in layers}
    graph = tf.compat.v1.get_default_graph()

    def record(layer: keras.layers.Layer, _: Any, result: Any) -> None:
        # A tensor inside of a loop, as of an RNN's cell, cannot leave it.
        if isinstance(result, tf.Tensor) and (
            tf.executing_eagerly() or result.graph is graph
        ):
            outputs[f"{names[id(layer)]}/activations"] = result

    with observed_calls([layer for _, layer in layers], record):
        yield outputs
