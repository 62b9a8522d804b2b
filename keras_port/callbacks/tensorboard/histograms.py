"""Histograms of weights, gradients and activations, named by layer."""

from collections.abc import Iterator
import contextlib
from typing import Any

import keras
import tensorflow as tf

from keras_port.callbacks.tensorboard.layers import list_trainable_weights
from keras_port.callbacks.tensorboard.layers import list_weight_layers
from keras_port.callbacks.tensorboard.layers import observe_calls
from keras_port.training import preserve_state

NUM_BUCKETS = 30


class LayerHistograms:
    """Writes the distributions of values in every layer with weights.

    Gradients and activations are those of one fixed batch, without dropout, so
    that two histograms differ only because the weights differ. The training is
    not affected: no random state and no moving mean changes.

    Args:
        model: A compiled model.
        writer: Writer of the `train` run.
        batch: Inputs and targets of the fixed batch; `None` for weights only.

    Attributes:
        is_empty: Whether nothing has been written yet.
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
        self.is_empty = True
        # One function for all, so that TensorFlow counts them in parallel.
        self._write = tf.function(self._write_all, autograph=False)

    def write(self, step: int) -> None:
        """Writes the histograms of the model as it is now."""
        self.is_empty = False
        # With several outputs `compute_loss` updates a mean of each.
        with preserve_state(self.model):
            self._write(tf.constant(step, tf.int64), self.batch)

    def _write_all(self, step: tf.Tensor, batch: Any) -> None:
        values: dict[str, Any] = dict(list_trainable_weights(self.model))
        if batch is not None:
            gradients, activations = self._compute(*batch)
            values |= {
                f"{name}_gradient": gradient
                for name, gradient in zip(values, gradients, strict=True)
                if gradient is not None
            }
            values |= activations
        with self.writer.as_default():
            for name, value in sorted(values.items()):
                write_histogram(name, tf.convert_to_tensor(value), step)

    def _compute(
        self, x: Any, y: Any
    ) -> tuple[list[tf.Tensor | None], dict[str, tf.Tensor]]:
        """Returns the gradients of all weights, and activations by name."""
        with record_outputs(self.model) as outputs, tf.GradientTape() as tape:
            predictions = self.model(x, training=False)
            loss = self.model.compute_loss(x, y, predictions, training=False)
        gradients = tape.gradient(loss, self.model.trainable_variables)
        return gradients, outputs


@contextlib.contextmanager
def record_outputs(model: keras.Model) -> Iterator[dict[str, tf.Tensor]]:
    """Collects the outputs of the layers with weights, inside the block."""
    outputs: dict[str, tf.Tensor] = {}
    layers = list_weight_layers(model)
    names = {id(layer): name for name, layer in layers}
    graph = tf.compat.v1.get_default_graph()

    def record(layer: keras.layers.Layer, _: Any, result: Any) -> None:
        # A tensor inside a loop, as in the cell of an RNN, cannot leave it.
        if isinstance(result, tf.Tensor) and (
            tf.executing_eagerly() or result.graph is graph
        ):
            outputs[f"{names[id(layer)]}/activations"] = result

    with observe_calls([layer for _, layer in layers], record):
        yield outputs


def write_histogram(tag: str, values: tf.Tensor, step: tf.Tensor) -> None:
    """Writes what `tf.summary.histogram` writes, about 20 times as fast.

    `tf.summary.histogram` multiplies a row of 30 zeros and ones for every
    value; for the 3.2 million weights of the CNN's dense layer that takes
    longer than three training steps. Here TensorFlow's own counting operation
    finds the same counts. Values that are not finite are left out: they have no
    bucket.

    Args:
        tag: Name of the histogram, written unchanged.
        values: Tensor of any shape and numeric type.
        step: Step of the histogram, int64.
    """
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data={"plugin_name": "histograms"},
        data_class="DATA_CLASS_TENSOR",
    )
    tf.summary.write(tag, count_buckets(values), step=step, metadata=metadata)


def count_buckets(values: tf.Tensor) -> tf.Tensor:
    """Returns the left edge, right edge and count of every bucket, float64.

    Args:
        values: Tensor of any shape and numeric type.

    Returns:
        Shape (30, 3). Without any finite value all are zeros. If all values
        are equal, the last bucket holds them, and all edges are this value.
    """
    # In 64 bits, as `tf.summary.histogram` computes.
    flat = tf.reshape(tf.cast(values, tf.float64), [-1])
    counted: tf.Tensor = count_vector_buckets(flat)
    return counted


# Built and optimized once for all layers, and not inlined into the graph that
# calls it, so that the histograms of the CNN are built in a fraction of the
# time.
@tf.function(  # type: ignore[untyped-decorator]
    input_signature=[tf.TensorSpec([None], tf.float64)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def count_vector_buckets(values: tf.Tensor) -> tf.Tensor:
    """Returns the buckets of a vector of any length."""
    values = select_finite(values)
    is_empty = tf.equal(tf.size(values), 0)
    zero = tf.zeros((), tf.float64)
    low = tf.where(is_empty, zero, tf.reduce_min(values))
    high = tf.where(is_empty, zero, tf.reduce_max(values))
    is_single = tf.equal(low, high)
    # The largest values are counted in the last bucket.
    lowest = tf.where(is_single, low - 1, low)
    counts = tf.histogram_fixed_width(values, [lowest, high], NUM_BUCKETS)
    edges = tf.linspace(low, high, NUM_BUCKETS + 1)
    return tf.stack([edges[:-1], edges[1:], tf.cast(counts, tf.float64)], 1)


def select_finite(values: tf.Tensor) -> tf.Tensor:
    """Returns the finite values of a vector."""
    # One sum is fast and shows whether there is anything to leave out. If a
    # sum of finite values overflows, the slow branch is correct as well.
    return tf.cond(
        tf.math.is_finite(tf.reduce_sum(values)),
        lambda: values,
        lambda: tf.boolean_mask(values, tf.math.is_finite(values)),
    )
