"""What a model with several replicas needs, and what it refuses."""

from collections.abc import Iterator
import contextlib
from typing import Any

from absl import logging
import keras
import tensorflow as tf


def has_replicas(model: keras.Model) -> bool:
    """Tells whether a model was built for several replicas."""
    count: int = replicas_of(model).num_replicas_in_sync
    return count > 1


def replicas_of(model: keras.Model) -> Any:
    """Returns the strategy in whose scope a model was built."""
    if hasattr(type(model), "replica_strategy"):
        return model.replica_strategy
    return model.distribute_strategy


@contextlib.contextmanager
def compile_scope(model: keras.Model) -> Iterator[None]:
    """Makes what `compile` makes in the strategy of the model.

    Keras keeps a part of each metric on each replica, and adds them up when
    somebody reads it. Ours see whole batches and have one value, which each
    replica has a copy of: to look at it costs no communication, and it comes
    back from a file to the bit.
    """
    strategy = replicas_of(model)
    if not has_replicas(model) and not tf.distribute.has_strategy():
        yield
        return
    if has_replicas(model) and tf.distribute.has_strategy():
        check_scope(model, tf.distribute.get_strategy())

    def whole(next_creator: Any, **kwargs: Any) -> Any:
        if kwargs.get("synchronization") is tf.VariableSynchronization.ON_READ:
            kwargs["synchronization"] = tf.VariableSynchronization.AUTO
            kwargs["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return next_creator(**kwargs)

    with strategy.scope(), tf.variable_creator_scope(whole):
        yield


def check_scope(model: keras.Model, scope: Any) -> None:
    """Raises `ValueError` if a model is compiled in the scope of another."""
    if scope is not replicas_of(model):
        raise ValueError(
            f"{model.name!r} was built in the scope of another strategy than "
            "the one it is compiled in. Build and compile it in one scope."
        )


def check_replicas(model: keras.Model) -> None:
    """Raises `ValueError` if a part of a model has one copy only.

    A model of several replicas updates the copy of each. What was made
    outside of the scope has one copy, and Keras says nothing of it.
    """
    scope = tf.distribute.get_strategy()
    mend = (
        "Make it inside:\n    with strategy.scope():\n"
        "        model = ...\n        model.compile(...)"
    )
    if scope.num_replicas_in_sync > 1 and not has_replicas(model):
        raise ValueError(
            f"{model.name!r} was built outside of the scope of the strategy, "
            "which has "
            f"{scope.num_replicas_in_sync} replicas, so it has one copy. {mend}"
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
            f"the strategy, so it has one copy. {mend}"
        )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer is not None and not is_distributed(optimizer.iterations):
        raise ValueError(
            "The optimizer was made outside of the scope of the strategy, so "
            f"it would update one copy. {mend}"
        )


def check_metrics(model: keras.Model, metrics: Any) -> None:
    """Raises `ValueError` for metrics with a part on each of several machines.

    To look at such a metric is communication: the chief, who alone writes
    curves, would wait for the others for ever.

    Args:
        model: The model.
        metrics: As given to `compile`.
    """
    strategy = replicas_of(model)
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
    """Tells whether each replica has its copy of a variable."""
    return isinstance(variable.value, tf.distribute.DistributedValues)


def check_outside_of_scope(model: keras.Model) -> None:
    """Raises `ValueError` if `fit` is called where it could not update."""
    if has_replicas(model) and tf.distribute.has_strategy():
        raise ValueError(
            "`fit` and `evaluate` of a model with several replicas are called "
            "outside of `with strategy.scope():`, which is for building and "
            "compiling the model. Move the call out of the block."
        )


def without_compiler(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Trains without XLA on several replicas, and says so if it was asked for.

    Args:
        model: The model.
        arguments: Of `compile`, changed in place.
    """
    if not has_replicas(model):
        return
    if arguments.get("jit_compile") is True:
        # keras#18145, keras#18627: the replicas' communication has no form in
        # XLA, and `fit` would fail in its first step.
        logging.warning(
            "`jit_compile=True` does not work on several devices. The model "
            "is trained without XLA; leave the argument out."
        )
    arguments["jit_compile"] = False
