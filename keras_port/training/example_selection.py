"""Picks the examples of a batch that there is still something to learn from."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import check_integer
from keras_port.training.gradient_result import GradientResult
from keras_port.training.loss_reduction import batch_size_of

# Any fixed number: two models that see the same batches pick alike.
SEED = 20201
# Below it, an example is drawn only where there are too few others.
SMALLEST_LOSS = 1e-6


def check_hard_examples(
    count: int | None, warmup: int, loss: Any, *, shared: bool
) -> None:
    """Raises `ValueError` for a number, loss or model that this is not for.

    Args:
        count: As given to `compile`.
        warmup: As given to `compile`.
        loss: As given to `compile`.
        shared: Whether several replicas share a batch.
    """
    check_integer(
        "hard_examples_warmup", warmup, minimum=0, note=", a number of batches"
    )
    if count is None:
        if warmup:
            raise ValueError(
                "`hard_examples_warmup` is for models with `hard_examples`. "
                f"Received: hard_examples_warmup={warmup} and no "
                "`hard_examples`"
            )
        return
    check_integer("hard_examples", count, note=", or None")
    if loss is None or isinstance(loss, list | tuple | dict):
        raise ValueError(
            "`hard_examples` needs one loss, by which it tells how hard an "
            f"example is. Received: loss={loss}"
        )
    if shared:
        raise ValueError(
            "`hard_examples` picks from the whole batch, and several devices "
            "share this model's batches. Train it on one device, or without "
            "`hard_examples`."
        )


def seen_examples(
    data: Any, *, count: int, warmup: int, batch: tf.Variable
) -> Any:
    """Returns the part of a batch that is looked at.

    Args:
        data: What a dataset yields: tensors of shape (examples, ...).
        count: Examples to train on.
        warmup: Batches of which no more than these are looked at.
        batch: Number of the batch, int64.
    """
    if not warmup:
        return data
    seen = tf.where(batch < warmup, count, tf.int32.max)
    return tf.nest.map_structure(
        lambda part: None if part is None else part[:seen], data
    )


def gradients_of_hard_examples(
    model: Any,
    x: Any,
    y: Any,
    sample_weight: Any,
    *,
    count: int,
    batch: tf.Variable,
) -> GradientResult:
    """Computes the gradients of some examples of a batch, drawn by their loss.

    Selective backpropagation (Jiang et al., 2019, "Accelerating Deep Learning
    by Focusing on the Biggest Losers"): the pass forward costs a third or less
    of a training step, and examples that the model has learnt change nothing
    in it. The chance of each example is in proportion to its loss; none is
    drawn twice.

    Args:
        model: A compiled `GradientModel`.
        x: Inputs of the batch.
        y: Its targets.
        sample_weight: Its weights, or `None`.
        count: Examples to draw, all of a smaller batch.
        batch: Number of the batch, int64, which the draw depends on.

    Returns:
        A `GradientResult` with the gradients of the loss of those examples,
        and with the loss and the outputs of the whole batch, by the model as
        it evaluates.
    """
    outputs = model(x, training=False)
    loss = model.compute_loss(x, y, outputs, sample_weight, training=False)
    losses = example_losses(model.loss, y, outputs)
    if sample_weight is not None:
        weights = tf.cast(sample_weight, losses.dtype)
        losses *= tf.reshape(weights, tf.shape(losses))
    picked = drawn(losses, tf.minimum(count, batch_size_of(x)), batch)

    def rows(values: Any) -> Any:
        return tf.nest.map_structure(
            lambda one: None if one is None else tf.gather(one, picked), values
        )

    result = model.share_gradients(rows(x), rows(y), rows(sample_weight), None)
    return GradientResult(
        loss=loss, outputs=outputs, grads_and_vars=result.grads_and_vars
    )


def example_losses(loss: Any, y: Any, outputs: Any) -> tf.Tensor:
    """Returns the loss of each example, float32 of shape (batch,).

    Args:
        loss: As given to `compile`.
        y: Targets, shape (batch, ...).
        outputs: Of the model, shape (batch, ...).
    """
    known = keras.losses.get(loss)
    is_object = isinstance(known, keras.losses.Loss)
    of_each: Callable[[Any, Any], Any] = known.call if is_object else known
    losses = of_each(tf.convert_to_tensor(y), tf.convert_to_tensor(outputs))
    rows = tf.reshape(tf.cast(losses, tf.float32), (batch_size_of(outputs), -1))
    return tf.reduce_mean(rows, axis=1)


def drawn(losses: tf.Tensor, count: tf.Tensor, batch: tf.Variable) -> tf.Tensor:
    """Returns the numbers of the examples that are drawn.

    The `count` largest of log(weight) + Gumbel noise are a draw in proportion
    to the weights without replacement (Kool et al., 2019, "Stochastic Beams
    and Where to Find Them").

    Args:
        losses: Loss of each example, shape (batch,).
        count: Examples to draw.
        batch: Number of the batch, int64, from which the noise follows.
    """
    noise = tf.random.stateless_uniform(
        tf.shape(losses),
        tf.stack([tf.constant(SEED, tf.int64), tf.convert_to_tensor(batch)]),
        # Neither 0 nor 1, whose logarithms have none.
        minval=1e-7,
        maxval=1 - 1e-7,
        alg="philox",
    )
    # A loss below 0, as of a likelihood, is as small as one can be.
    weights = tf.maximum(losses, SMALLEST_LOSS)
    keys = tf.math.log(weights) - tf.math.log(-tf.math.log(noise))
    return tf.math.top_k(keys, count, sorted=False).indices
