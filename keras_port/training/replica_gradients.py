"""Each device's part of a batch's loss, and the gradients of all of it."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import Shard
from keras_port._support import working_on
from keras_port.training.gradient_result import GradientResult
from keras_port.training.loss_reduction import batch_size_of
from keras_port.training.loss_reduction import check_divisible
from keras_port.training.loss_reduction import is_summed

SUM = tf.distribute.ReduceOp.SUM


def part_of_loss(
    model: keras.Model, loss: tf.Tensor, shard: Shard
) -> tf.Tensor:
    """Returns what a device's loss is of the loss of the whole batch.

    The parts of all devices add up to the loss that one device would compute,
    so their gradients add up to its gradients. A mean counts by its number of
    examples (tensorflow#36224); a sum counts as it is. What the layers add for
    their weights, such as decay, is in the sum once.

    Args:
        model: The model, whose `compile` says whether the loss is summed.
        loss: What `compute_loss` gave for this share, or for the row of zeros
            in the place of an empty one.
        shard: The shard.
    """
    # Under a strategy Keras multiplies means and added losses by this number,
    # a third of which is one of float32 also in float64.
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


def gradients_of_part(
    model: Any, shard: Shard, data: tuple[Any, Any, Any]
) -> GradientResult:
    """Computes a device's part of the loss, and the gradients of this part.

    Args:
        model: A `GradientModel`.
        shard: The device's share of the batch.
        data: Inputs, targets and sample weights (or `None`) of the share;
            perhaps empty, in an uneven last batch.
    """
    check_divisible(model.loss, data[2])
    count = batch_size_of(data[0])
    with working_on(shard):
        part = model.share_gradients(*at_least_one_row(count, data), shard)
    return without_row_of_zeros(count, part)


def evaluation_of_part(
    model: Any, shard: Shard, data: tuple[Any, Any, Any]
) -> GradientResult:
    """Computes a device's part of the loss as in evaluation; as above."""
    check_divisible(model.loss, data[2])
    count = batch_size_of(data[0])
    x, y, sample_weight = at_least_one_row(count, data)
    with working_on(shard):
        outputs = model(x, training=False)
        loss = model.compute_loss(x, y, outputs, sample_weight, training=False)
    part = part_of_loss(model, loss, shard)
    result = GradientResult(loss=part, outputs=outputs, grads_and_vars=[])
    return without_row_of_zeros(count, result)


def added_up(context: Any, part: GradientResult) -> GradientResult:
    """Returns loss and gradients of all replicas' parts together.

    Args:
        context: Of the replica.
        part: Of the replica.

    Returns:
        The loss and the gradients of the whole batch, the same on each
        replica, and the outputs of this replica's examples.
    """
    present = [
        tf.convert_to_tensor(gradient)
        for gradient, _ in part.grads_and_vars
        if gradient is not None
    ]
    loss, *reduced = context.all_reduce(SUM, [part.loss, *present])
    found = iter(reduced)
    pairs = [
        (None if gradient is None else next(found), variable)
        for gradient, variable in part.grads_and_vars
    ]
    return GradientResult(loss=loss, outputs=part.outputs, grads_and_vars=pairs)


def at_least_one_row(count: tf.Tensor, tensors: Any) -> Any:
    """Returns the tensors with a row of zeros where there is none.

    A mean over nothing is NaN, and some kernels refuse an empty batch.
    """
    missing = tf.maximum(1 - count, 0)

    def padded(tensor: Any) -> Any:
        if tensor is None or tensor.shape[0]:
            return tensor
        widths = tf.concat(
            [[[0, missing]], tf.zeros((tf.rank(tensor) - 1, 2), tf.int32)], 0
        )
        result = tf.pad(tensor, widths)
        result.set_shape([None, *tensor.shape[1:]])
        return result

    return tf.nest.map_structure(padded, tensors)


def without_row_of_zeros(
    count: tf.Tensor, result: GradientResult
) -> GradientResult:
    """Returns a result with the outputs of the `count` examples alone."""
    outputs = tf.nest.map_structure(
        lambda one: one if one.shape[0] else one[:count], result.outputs
    )
    return dataclasses.replace(result, outputs=outputs)
