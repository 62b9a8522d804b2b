"""A step of `fit` or `evaluate` that several replicas share."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import Shard
from keras_port._support import even_shard
from keras_port._support import replica_context
from keras_port._support import shard_of_replica
from keras_port.training.gradient_result import GradientResult
from keras_port.training.loss_reduction import batch_size_of
from keras_port.training.replica_gradients import added_up
from keras_port.training.replica_gradients import evaluation_of_part
from keras_port.training.replica_gradients import gradients_of_part

# Inputs, targets, and sample weights or `None`.
Data = tuple[Any, Any, Any]
Compute = Callable[[Any, Shard, Data], GradientResult]


def shared_train_step(model: Any, data: Any) -> None:
    """Trains on a batch that several replicas share.

    The replicas compute. What all have computed is dealt with once, outside
    of them: there the update may depend on a condition, which it may not
    inside (keras#20763), and metrics and the model's own record see the batch
    as one device would.

    Args:
        model: A `GradientModel`.
        data: The whole batch.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    result = shared_result(model, gradients_of_part, (x, y, sample_weight))
    model.finish_step(x, y, sample_weight, result, batch_size_of(x))


def shared_test_step(model: Any, data: Any) -> None:
    """Evaluates a batch that several replicas share."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    result = shared_result(model, evaluation_of_part, (x, y, sample_weight))
    model.finish_test(x, y, sample_weight, result, batch_size_of(x))


def shared_result(model: Any, compute: Compute, data: Data) -> GradientResult:
    """Lets each replica compute its share, and returns what all have.

    Args:
        model: A `GradientModel`.
        compute: Computes on one replica.
        data: Of the whole batch.
    """
    strategy = model.replica_strategy

    def replica(data: Data) -> Any:
        context = replica_context()
        shard, own = shard_of_batch(context, data)
        result = added_up(context, compute(model, shard, own))
        outputs = tf.nest.map_structure(
            lambda one: context.all_gather(one, axis=0), result.outputs
        )
        return (
            result.loss,
            outputs,
            [gradient for gradient, _ in result.grads_and_vars],
        )

    results = strategy.run(replica, (data,))
    loss, outputs, gradients = first_of(strategy, results)
    variables = model.trainable_variables[: len(gradients)]
    pairs = list(zip(gradients, variables, strict=True))
    return GradientResult(loss=loss, outputs=outputs, grads_and_vars=pairs)


def shard_of_batch(context: Any, data: Data) -> tuple[Shard, Data]:
    """Returns the share of a replica, and its rows of a batch."""
    with tf.device("/CPU:0"):
        shard = even_shard(
            context.replica_id_in_sync_group,
            context.num_replicas_in_sync,
            batch_size_of(data[0]),
        )
    own: Data = shard.of_batch(data)
    return shard, own


def gradients_in_loop(model: Any, context: Any, data: Data) -> GradientResult:
    """Computes gradients in a loop of one's own, whose data is dealt out."""
    shard = shard_of_replica(context, batch_size_of(data[0]))
    return added_up(context, gradients_of_part(model, shard, data))


def train_step_in_loop(
    model: Any, context: Any, data: Any
) -> dict[str, tf.Tensor]:
    """Trains inside of `Strategy.run`, as a loop of one's own does.

    Here every replica applies the update itself. The rest is done once.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    variables = model.trainable_variables
    before = tf.convert_to_tensor(model.optimizer.iterations)
    learning_rate = tf.convert_to_tensor(model.optimizer.learning_rate)
    result = gradients_in_loop(model, context, (x, y, sample_weight))
    model.apply_gradients(result.grads_and_vars)
    whole = tf.nest.map_structure(
        lambda one: None if one is None else context.all_gather(one, axis=0),
        (x, y, sample_weight, result.outputs),
    )
    gradients = [gradient for gradient, _ in result.grads_and_vars]

    def record(strategy: Any, *values: Any) -> dict[str, tf.Tensor]:
        before, rate, loss, gradients, whole = first_of(strategy, values)
        x, y, sample_weight, outputs = whole
        pairs = list(zip(gradients, variables, strict=True))
        result = GradientResult(
            loss=loss, outputs=outputs, grads_and_vars=pairs
        )
        model.record_step(result, batch_size_of(x), before, rate)
        logs: dict[str, tf.Tensor] = model.update_metrics(
            x, y, result, sample_weight
        )
        return logs

    logs: dict[str, tf.Tensor] = context.merge_call(
        record, (before, learning_rate, result.loss, gradients, whole)
    )
    return logs


def first_of(strategy: Any, values: Any) -> Any:
    """Returns the first replica's values, where all have the same."""
    return tf.nest.map_structure(
        lambda one: (
            None if one is None else strategy.experimental_local_results(one)[0]
        ),
        values,
    )
