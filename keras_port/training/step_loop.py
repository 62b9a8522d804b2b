"""Runs the next `steps_per_execution` steps of `fit` or `evaluate`."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_port.training.label_form import choose_metrics
from keras_port.training.sharing import has_replicas
from keras_port.training.sharing import needing_all_workers

Logs = dict[str, tf.Tensor]
Step = Callable[[Any], Any]


def make_step_loop(model: keras.Model, step: Step) -> Callable[[Any], Logs]:
    """Returns a function that runs the next `steps_per_execution` steps.

    With several steps per call, Keras traces the step twice, wraps it in two
    conditions and carries the logs from step to step. Here the step is traced
    once, only the loop has a condition, and the metrics are read after it.

    Args:
        model: A model whose logs are its metrics.
        step: Runs one step on a batch, and updates the metrics.

    Returns:
        A function that takes an iterator of batches and returns the metrics'
        running values. Without a batch it raises `StopIteration` or a
        `tf.errors.OutOfRangeError`, which ends the epoch in `fit`.
    """

    def one_step(batch: Any) -> Logs:
        step(drop_optionals(batch))
        logs: Logs = model.get_metrics_result()
        return logs

    def steps(iterator: tf.data.Iterator) -> tuple[tf.Tensor, Logs]:
        if model.steps_per_execution == 1:
            return tf.constant(1), one_step(iterator.get_next())

        def one_more(done: tf.Tensor, batch: Any) -> Any:
            step(drop_optionals(batch.get_value()))
            done += 1
            # A batch that is taken but not used would be lost.
            batch = tf.cond(
                done < model.steps_per_execution,
                iterator.get_next_as_optional,
                lambda: batch,
            )
            return done, batch

        done, _ = tf.while_loop(
            lambda done, batch: (
                (done < model.steps_per_execution) & batch.has_value()
            ),
            one_more,
            [tf.constant(0), iterator.get_next_as_optional()],
            parallel_iterations=1,
        )
        return done, model.get_metrics_result()

    if not model.run_eagerly:
        one_step, steps = trace(one_step), trace(steps)

    def function(iterator: Any) -> Logs:
        if not isinstance(iterator, tf.data.Iterator):
            # The single batch of `train_on_batch` or `test_on_batch`.
            return one_step(next(iterator))
        if not has_replicas(model):
            choose_metrics(model, iterator.element_spec)
        with needing_all_workers():
            done, logs = steps(iterator)
        if not int(done):
            raise StopIteration
        return logs

    return function


def trace(function: Callable[..., Any]) -> Any:
    """Returns a `tf.function` for any number of examples."""
    return tf.function(function, reduce_retracing=True, autograph=False)


def drop_optionals(batch: Any) -> Any:
    """Returns a batch with `None` where Keras marks a part as absent."""
    return tf.nest.map_structure(
        lambda part: (
            None if isinstance(part, tf.experimental.Optional) else part
        ),
        batch,
    )
