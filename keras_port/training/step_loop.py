"""What `fit` and `evaluate` call for each `steps_per_execution` steps."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Logs = dict[str, tf.Tensor]
Step = Callable[[Any, Any], Any]


def step_loop(model: Any, step: Step) -> Callable[[Any], Logs]:
    """Returns what runs the next `steps_per_execution` steps.

    Keras builds the graph of a step of several per call twice, puts it inside
    of two conditions, and carries the logs from step to step. Here it is built
    once, the loop alone has a condition, and the metrics are read behind it.

    Args:
        model: A `GradientModel` whose logs are its metrics.
        step: Does one step with the model and a batch, and updates metrics.

    Returns:
        A function that takes an iterator of batches and returns the metrics'
        running values. Without a batch it raises `StopIteration` or a
        `tf.errors.OutOfRangeError`, which `fit` takes for the end.
    """

    def one_step(batch: Any) -> Logs:
        step(model, without_optionals(batch))
        logs: Logs = model.get_metrics_result()
        return logs

    def steps(iterator: tf.data.Iterator) -> tuple[tf.Tensor, Logs]:
        if model.steps_per_execution == 1:
            return tf.constant(1), one_step(iterator.get_next())

        def one_more(done: tf.Tensor, batch: Any) -> Any:
            step(model, without_optionals(batch.get_value()))
            done += 1
            # A batch that is taken and not used would be lost.
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
        one_step, steps = graph(one_step), graph(steps)

    def function(iterator: Any) -> Logs:
        if not isinstance(iterator, tf.data.Iterator):
            # The single batch of `train_on_batch` or `test_on_batch`.
            return one_step(next(iterator))
        done, logs = steps(iterator)
        if not int(done):
            raise StopIteration
        return logs

    return function


def graph(function: Callable[..., Any]) -> Any:
    """Returns a function that is traced, for any number of examples."""
    return tf.function(function, reduce_retracing=True, autograph=False)


def without_optionals(batch: Any) -> Any:
    """Returns a batch with `None` for what Keras says is not there."""
    return tf.nest.map_structure(
        lambda part: (
            None if isinstance(part, tf.experimental.Optional) else part
        ),
        batch,
    )
