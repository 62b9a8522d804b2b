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
from keras_port.training.loss_reduction import is_summed
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
    with tf.GradientTape() as tape:
        outputs = model(batch.x, training=True)
        # Before the optimizer scales the loss, which takes a variable of it.
        build_optimizer(model)
        # These scopes are those of the course's slides.
        with tf.name_scope("cross_entropy"):
            loss = model.compute_loss(
                batch.x, batch.y, outputs, batch.sample_weight
            )
            if shard is not None:
                loss = scale_loss_to_shard(model, loss, shard)
            scaled_loss = model.optimizer.scale_loss(loss)
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
    model: keras.Model, batch: Batch, shard: Shard | None = None
) -> GradientResult:
    """Computes outputs and loss in inference; arguments as above."""
    outputs = model(batch.x, training=False)
    loss = model.compute_loss(
        batch.x, batch.y, outputs, batch.sample_weight, training=False
    )
    if shard is not None:
        loss = scale_loss_to_shard(model, loss, shard)
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
    check_divisible(model.loss, batch.sample_weight)
    count = batch.size
    with working_on(shard):
        result = compute_batch_gradients(model, pad_to_one_row(batch), shard)
    return drop_padding(count, result)


def evaluate_shard(
    model: keras.Model, batch: Batch, shard: Shard
) -> GradientResult:
    """Computes a shard's contribution to the loss in inference; as above."""
    check_divisible(model.loss, batch.sample_weight)
    count = batch.size
    with working_on(shard):
        result = evaluate_batch(model, pad_to_one_row(batch), shard)
    return drop_padding(count, result)


def scale_loss_to_shard(
    model: keras.Model, loss: tf.Tensor, shard: Shard
) -> tf.Tensor:
    """Returns a shard's contribution to the loss of the whole batch.

    The contributions of all devices add up to the loss that one device would
    compute, so their gradients add up to its gradients. A mean is weighted by
    its number of examples (tensorflow#36224); a sum is not. Losses that the
    layers add for their weights, such as decay, are in the sum once.

    Args:
        model: The model, whose `compile` says whether the loss is a sum.
        loss: Result of `compute_loss` for this shard, or for the row of zeros
            in place of an empty one.
        shard: The shard.
    """
    # Under a strategy Keras multiplies means and added losses by this number.
    # The third of three replicas has float32 precision even in float64.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    factor = tf.cast(1.0 / replicas, loss.dtype)
    added = [tf.cast(tf.reduce_sum(one), loss.dtype) for one in model.losses]
    extra = tf.add_n(added) if added else None
    data = loss if extra is None else loss - extra * factor
    count = tf.cast(shard.count, loss.dtype)
    if is_summed(model.loss):
        data *= tf.minimum(count, 1)
    else:
        total = tf.cast(tf.maximum(shard.total, 1), loss.dtype)
        data = data / factor * count / total
    return data if extra is None else data + extra / shard.parts


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
