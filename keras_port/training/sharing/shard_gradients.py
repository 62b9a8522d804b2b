"""Gradients and losses of one device, alone or as a shard of a batch."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import Shard
from keras_port._support import working_on
from keras_port.training.gradient_result import Batch
from keras_port.training.gradient_result import GradientResult
from keras_port.training.loss_reduction import check_divisible
from keras_port.training.loss_reduction import check_per_example
from keras_port.training.loss_reduction import compute_loss
from keras_port.training.loss_reduction import is_summed
from keras_port.training.loss_reduction import split_loss
from keras_port.training.loss_scaling import unscale


def compute_batch_gradients(
    model: keras.Model, batch: Batch, shard: Shard | None = None
) -> GradientResult:
    """Runs a batch forward and backward on one device.

    Args:
        model: A compiled model.
        batch: The batch, or the examples of the shard.
        shard: The part of a batch that `batch` is. The result is then this
            part's contribution to the loss of the whole batch, and its
            gradients. Defaults to `None`: all of it.
    """
    if getattr(model, "gradient_accumulation_steps", None):
        check_divisible(
            model.loss,
            batch.sample_weight,
            "With `gradient_accumulation_steps`",
        )
    with tf.GradientTape() as tape:
        outputs = model(batch.x, training=True)
        # Before the optimizer scales the loss, which takes a variable of it.
        build_optimizer(model)
        # These scopes are those of the course's slides.
        with tf.name_scope("cross_entropy"):
            loss = compute_loss(model, batch, outputs, training=True)
            loss, objective = weight_losses(model, batch, outputs, loss, shard)
            scaled_loss = model.optimizer.scale_loss(objective)
    variables = model.trainable_variables
    with tf.name_scope("gradients"):
        gradients = tape.gradient(scaled_loss, variables)
        gradients = unscale(model.optimizer, gradients, loss.dtype)
    return GradientResult(
        loss=loss,
        outputs=outputs,
        grads_and_vars=list(zip(gradients, variables, strict=True)),
    )


def evaluate_batch(
    model: keras.Model,
    batch: Batch,
    shard: Shard | None = None,
    *,
    per_example: bool = True,
) -> GradientResult:
    """Computes outputs and loss in inference.

    Args:
        model: A compiled model.
        batch: The batch, or the examples of the shard.
        shard: The part of a batch that `batch` is. Defaults to `None`: all of
            it.
        per_example: Whether a loss that is a sum over the batch is divided by
            the number of its examples, without the losses that layers add.
            Defaults to `True`.
    """
    outputs = model(batch.x, training=False)
    loss = compute_loss(model, batch, outputs, training=False)
    examples = None
    if per_example and is_summed(model.loss):
        examples = batch.size if shard is None else tf.maximum(shard.total, 1)
    loss, _ = weight_losses(model, batch, outputs, loss, shard, examples)
    return GradientResult(loss=loss, outputs=outputs, grads_and_vars=[])


def compute_shard_gradients(
    model: keras.Model, batch: Batch, shard: Shard
) -> GradientResult:
    """Computes a shard's contribution to the loss, and its gradients.

    Args:
        model: A compiled model.
        batch: The examples of the shard, perhaps none in an uneven last batch.
        shard: The shard.
    """
    check_divisible(model.loss, batch.sample_weight, "On several devices")
    count = batch.size
    with working_on(shard):
        result = compute_batch_gradients(model, pad_to_one_row(batch), shard)
    return drop_padding(count, result)


def evaluate_shard(
    model: keras.Model, batch: Batch, shard: Shard
) -> GradientResult:
    """Computes a shard's contribution to the loss in inference; as above."""
    check_divisible(model.loss, batch.sample_weight, "On several devices")
    count = batch.size
    with working_on(shard):
        result = evaluate_batch(model, pad_to_one_row(batch), shard)
    return drop_padding(count, result)


def weight_losses(
    model: keras.Model,
    batch: Batch,
    outputs: Any,
    loss: tf.Tensor,
    shard: Shard | None,
    examples: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the loss of a batch or of a shard, and what to differentiate.

    The contributions of all shards add up to the loss that one device would
    compute, so their gradients add up to its gradients. A mean is weighted by
    its number of examples (tensorflow#36224); a sum is not. What layers add is
    weighted like a mean: it is the same on all shards, as for L2, or a mean
    over the examples, as for `activity_regularizer`.

    Where the gradients of `k` batches are added up, because the loss is a sum,
    what layers add would be added `k` times. It has `1 / k` of its weight in
    what is differentiated.

    Args:
        model: The model that computed the loss just now.
        batch: The batch, or the examples of the shard; a row of zeros in place
            of none.
        outputs: The outputs of the model.
        loss: Result of `compute_loss`.
        shard: The shard, or `None` for a whole batch.
        examples: Number to divide the data's part of the loss by. Defaults to
            `None`: it is not divided.
    """
    steps = getattr(model, "gradient_accumulation_steps", None) or 1
    summed = is_summed(model.loss)
    if shard is None and examples is None and (steps == 1 or not summed):
        return loss, loss
    # Under a strategy Keras multiplies means and added losses by this number.
    # The third of three replicas has float32 precision even in float64.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    factor = tf.cast(1.0 / replicas, loss.dtype)
    data, added = split_loss(model, loss, factor)
    if shard is not None:
        check_per_example(model.loss, batch, outputs)
        count = tf.cast(shard.count, loss.dtype)
        share = count / tf.cast(tf.maximum(shard.total, 1), loss.dtype)
        if summed:
            data *= tf.minimum(count, 1)
        else:
            data = data / factor * share
        added = None if added is None else added * share
    if examples is not None:
        data /= tf.cast(examples, loss.dtype)
    if added is None:
        return data, data
    objective = data + (added / steps if summed else added)
    return data + added, objective


def build_optimizer(model: keras.Model) -> None:
    """Builds the optimizer with all trainable variables of the model."""
    # With all variables, not only those that have a gradient today.
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def pad_to_one_row(batch: Batch) -> Batch:
    """Returns a batch with a row of zeros if it has no row.

    A mean over nothing is NaN, and some kernels reject an empty batch.
    """
    missing = tf.maximum(1 - batch.size, 0)

    def pad(tensor: Any) -> Any:
        if tensor is None or tensor.shape[0]:
            return tensor
        widths = tf.concat(
            [[[0, missing]], tf.zeros((tf.rank(tensor) - 1, 2), tf.int32)], 0
        )
        result = tf.pad(tensor, widths)
        result.set_shape([None, *tensor.shape[1:]])
        return result

    return Batch(*tf.nest.map_structure(pad, tuple(batch)))


def drop_padding(count: tf.Tensor, result: GradientResult) -> GradientResult:
    """Returns a result with the outputs of the `count` examples alone."""
    outputs = tf.nest.map_structure(
        lambda one: one if one.shape[0] else one[:count], result.outputs
    )
    return dataclasses.replace(result, outputs=outputs)
