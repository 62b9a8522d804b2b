"""A batch that the replicas of a strategy share."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from typing import Any

from absl import logging
import keras
import tensorflow as tf

from keras_port._support import Shard
from keras_port._support import even_shard
from keras_port._support import replica_context
from keras_port._support import shard_of_replica
from keras_port.training.gradient_result import Batch
from keras_port.training.gradient_result import GradientResult
from keras_port.training.sharing.one_device import FinishStep
from keras_port.training.sharing.one_device import Logs
from keras_port.training.sharing.shard_gradients import compute_shard_gradients
from keras_port.training.sharing.shard_gradients import evaluate_batch
from keras_port.training.sharing.shard_gradients import evaluate_shard

SUM = tf.distribute.ReduceOp.SUM
ComputeShard = Callable[[keras.Model, Batch, Shard], GradientResult]


class Replicas:
    """Computes a shard of the batch on every replica.

    The replicas only compute. Everything else happens once, outside of them:
    there an update may depend on a condition, which it may not inside
    (keras#20763), and the metrics and the step log see the batch as one device
    would. Inside a custom loop with `Strategy.run` every replica is given its
    shard and applies the update itself; the rest happens once here, too.

    Args:
        strategy: Strategy in whose scope the model was built.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy

    def compute_gradients(
        self, model: keras.Model, batch: Batch
    ) -> GradientResult:
        """Computes gradients on all replicas, and adds them up.

        Args:
            model: A compiled model.
            batch: The whole batch; inside `Strategy.run` that of the replica.
        """
        context = replica_context()
        if context is not None:
            shard = shard_of_replica(context, batch.size)
            with average_state(context, model, shard):
                result = compute_shard_gradients(model, batch, shard)
            return sum_over_replicas(context, result)
        return self._run(model, compute_shard_gradients, batch)

    def evaluate(self, model: keras.Model, batch: Batch) -> GradientResult:
        """Evaluates the batch where it is.

        The replicas do not share it: `Evaluator` gives every worker of a
        cluster other batches.
        """
        return evaluate_batch(model, batch)

    def evaluate_on_all(
        self, model: keras.Model, batch: Batch
    ) -> GradientResult:
        """Evaluates the whole batch on all replicas."""
        return self._run(model, evaluate_shard, batch)

    def update_scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns a scope that changes nothing."""
        return contextlib.nullcontext()

    def finish_step(
        self,
        finish: FinishStep,
        batch: Batch,
        result: GradientResult,
        iterations: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Logs:
        """Calls `finish` once, with the whole batch."""
        context = replica_context()
        if context is None:
            return finish(batch, result, iterations, learning_rate)
        variables = [variable for _, variable in result.grads_and_vars]
        whole = tf.nest.map_structure(
            lambda one: (
                None if one is None else context.all_gather(one, axis=0)
            ),
            (tuple(batch), result.outputs),
        )

        def finish_once(strategy: Any, *values: Any) -> Logs:
            iterations, rate, loss, gradients, whole = get_first_replica(
                strategy, values
            )
            batch, outputs = whole
            grads_and_vars = list(zip(gradients, variables, strict=True))
            result = GradientResult(loss, outputs, grads_and_vars)
            return finish(Batch(*batch), result, iterations, rate)

        logs: Logs = context.merge_call(
            finish_once,
            (iterations, learning_rate, result.loss, result.gradients, whole),
        )
        return logs

    def _run(
        self, model: keras.Model, compute: ComputeShard, batch: Batch
    ) -> GradientResult:
        """Lets every replica compute its shard, and returns the whole."""

        def replica(data: tuple[Any, ...]) -> Any:
            context = replica_context()
            shard, own = take_shard(context, Batch(*data))
            with average_state(context, model, shard):
                result = compute(model, own, shard)
            result = sum_over_replicas(context, result)
            outputs = tf.nest.map_structure(
                lambda one: context.all_gather(one, axis=0), result.outputs
            )
            return result.loss, outputs, result.gradients

        results = self._strategy.run(replica, (tuple(batch),))
        loss, outputs, gradients = get_first_replica(self._strategy, results)
        variables = model.trainable_variables[: len(gradients)]
        return GradientResult(
            loss, outputs, list(zip(gradients, variables, strict=True))
        )


def take_shard(context: Any, batch: Batch) -> tuple[Shard, Batch]:
    """Returns the shard of a replica, and its rows of a whole batch."""
    with tf.device("/CPU:0"):
        shard = even_shard(
            context.replica_id_in_sync_group,
            context.num_replicas_in_sync,
            batch.size,
        )
    return shard, Batch(*shard.of_batch(tuple(batch)))


@contextlib.contextmanager
def average_state(
    context: Any, model: keras.Model, shard: Shard
) -> Iterator[None]:
    """Makes what layers change in the block equal on all replicas.

    Every replica computes moving statistics, such as those of
    `BatchNormalization`, from its own shard, and Keras leaves every copy with
    a value of its own. Here all get the mean, weighted by the examples, so
    that the moving mean is that of the whole batch.

    Args:
        context: Context of the replica.
        model: The model.
        shard: The shard of the replica, which may have no example.
    """
    variables = list_layer_state(model)
    before = [tf.convert_to_tensor(variable) for variable in variables]
    yield
    # Of the differences: what has not changed stays the same to the bit.
    for variable, old in zip(variables, before, strict=True):
        count = tf.cast(shard.count, old.dtype)
        share = count / tf.cast(tf.maximum(shard.total, 1), old.dtype)
        change = (tf.convert_to_tensor(variable) - old) * share
        variable.assign(old + context.all_reduce(SUM, change))


def list_layer_state(model: keras.Model) -> list[keras.Variable]:
    """Returns the floats that layers may change in the forward pass."""
    frozen = {
        id(variable)
        for layer in walk_layers(model)
        if not layer.trainable
        for variable in layer.variables
    }
    return [
        variable
        for variable in model.non_trainable_weights
        if tf.as_dtype(variable.dtype).is_floating
        and id(variable) not in frozen
    ]


def walk_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers of a model, and those of the models in it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from walk_layers(layer)


def sum_over_replicas(context: Any, result: GradientResult) -> GradientResult:
    """Returns loss and gradients of all replicas' shards together.

    Args:
        context: Context of the replica.
        result: Contribution of the replica.

    Returns:
        Loss and gradients of the whole batch, the same on every replica, and
        the outputs of this replica's examples.
    """
    present = [
        tf.convert_to_tensor(gradient)
        for gradient in result.gradients
        if gradient is not None
    ]
    loss, *reduced = context.all_reduce(SUM, [result.loss, *present])
    found = iter(reduced)
    grads_and_vars = [
        (None if gradient is None else next(found), variable)
        for gradient, variable in result.grads_and_vars
    ]
    return GradientResult(loss, result.outputs, grads_and_vars)


def get_first_replica(strategy: tf.distribute.Strategy, values: Any) -> Any:
    """Returns the first replica's values, where all have the same."""
    return tf.nest.map_structure(
        lambda one: (
            None if one is None else strategy.experimental_local_results(one)[0]
        ),
        values,
    )


def has_replicas(model: keras.Model) -> bool:
    """Tells whether a model was built for several replicas."""
    count: int = get_strategy(model).num_replicas_in_sync
    return count > 1


def get_strategy(model: keras.Model) -> Any:
    """Returns the strategy in whose scope a model was built."""
    if hasattr(type(model), "replica_strategy"):
        return model.replica_strategy
    return model.distribute_strategy


@contextlib.contextmanager
def compile_scope(model: keras.Model) -> Iterator[None]:
    """Runs `compile` in the scope of the model's strategy.

    Keras keeps a part of every metric on every replica, and adds them up when
    the metric is read. Our metrics see whole batches and have one value, which
    every replica has a copy of. Reading it needs no communication, and a file
    restores it bit for bit.
    """
    strategy = get_strategy(model)
    if not has_replicas(model) and not tf.distribute.has_strategy():
        yield
        return
    if has_replicas(model) and tf.distribute.has_strategy():
        check_scope(model, tf.distribute.get_strategy())

    def keep_whole(next_creator: Any, **kwargs: Any) -> Any:
        if kwargs.get("synchronization") is tf.VariableSynchronization.ON_READ:
            kwargs["synchronization"] = tf.VariableSynchronization.AUTO
            kwargs["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return next_creator(**kwargs)

    with strategy.scope(), tf.variable_creator_scope(keep_whole):
        yield


def check_scope(model: keras.Model, scope: Any) -> None:
    """Raises `ValueError` if a model is compiled in a different scope."""
    if scope is not get_strategy(model):
        raise ValueError(
            f"{model.name!r} was built in the scope of one strategy and is "
            "compiled in the scope of another. Build and compile it in one "
            "scope."
        )


def check_replicas(model: keras.Model) -> None:
    """Raises `ValueError` if a part of a model has only one copy.

    A model with several replicas updates the copy of every replica. A variable
    made outside of the scope has one copy, and Keras does not warn about it.
    """
    scope = tf.distribute.get_strategy()
    fix = (
        "Make it inside:\n    with strategy.scope():\n"
        "        model = ...\n        model.compile(...)"
    )
    if scope.num_replicas_in_sync > 1 and not has_replicas(model):
        raise ValueError(
            f"{model.name!r} was built outside of the scope of the strategy, "
            "which has "
            f"{scope.num_replicas_in_sync} replicas, so it has one copy. {fix}"
        )
    if not has_replicas(model):
        return
    if not model.built:
        raise ValueError(
            f"{model.name!r} has no weights yet, and on several devices they "
            "must be made in the scope of the strategy. Begin the model with "
            "`keras.Input`, or call it on a batch there, before `compile`."
        )
    single = [v.path for v in model.variables if not is_distributed(v)]
    if single:
        raise ValueError(
            f"{single[0]} of {model.name!r} was made outside of the scope of "
            f"the strategy, so it has one copy. {fix}"
        )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if getattr(optimizer, "gradient_accumulation_steps", None):
        raise ValueError(
            "The optimizer accumulates gradients, which it cannot do on "
            "several devices (keras#20763). Give the number of batches to "
            "`compile(gradient_accumulation_steps=...)` instead."
        )
    if optimizer is not None and not is_distributed(optimizer.iterations):
        raise ValueError(
            "The optimizer was made outside of the scope of the strategy, so "
            f"it would update one copy. {fix}"
        )


def check_metrics(model: keras.Model, metrics: Any) -> None:
    """Raises `ValueError` for metrics with a part on every machine.

    Reading such a metric requires communication. Only the chief writes curves,
    so it would wait forever.

    Args:
        model: The model.
        metrics: As given to `compile`.
    """
    strategy = get_strategy(model)
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    for metric in tf.nest.flatten(metrics):
        if isinstance(metric, keras.metrics.Metric) and any(
            is_distributed(v) and v.synchronization == "on_read"
            for v in metric.variables
        ):
            raise ValueError(
                f"The metric {metric.name!r} was made in the scope of the "
                "strategy, and would have a part on each machine. Give its "
                'name, such as `metrics=["accuracy"]`, or make it before '
                "`with strategy.scope():`."
            )


def is_distributed(variable: keras.Variable) -> bool:
    """Tells whether every replica has a copy of a variable."""
    return isinstance(variable.value, tf.distribute.DistributedValues)


def check_outside_of_scope(model: keras.Model) -> None:
    """Raises `ValueError` if `fit` is called where it could not update."""
    if has_replicas(model) and tf.distribute.has_strategy():
        raise ValueError(
            "`fit` and `evaluate` of a model with several replicas are called "
            "outside of `with strategy.scope():`, which is for building and "
            "compiling the model. Move the call out of the block."
        )


def disable_xla(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Turns XLA off for several replicas, with a warning if it was asked for.

    Args:
        model: The model.
        arguments: Of `compile`, changed in place.
    """
    if not has_replicas(model):
        return
    if arguments.get("jit_compile") is True:
        # keras#18145, keras#18627: XLA cannot compile the communication of the
        # replicas, and `fit` would fail in its first step.
        logging.warning(
            "`jit_compile=True` does not work on several devices. The model "
            "is trained without XLA; leave the argument out."
        )
    arguments["jit_compile"] = False
