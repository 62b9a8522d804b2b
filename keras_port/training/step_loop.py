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


class StepLoop:
    """Runs the next `steps_per_execution` steps.

    With several steps per call, Keras traces the step twice, wraps it in two
    conditions and carries the logs from step to step. Here the step is traced
    once, only the loop has a condition, and the metrics are read after it.

    Args:
        model: A model whose logs are its metrics.
        step: Runs one step on a batch, and updates the metrics.
    """

    def __init__(self, model: keras.Model, step: Step) -> None:
        self._model = model
        self._step = step
        self._traced_one = trace(self._run_one)
        self._traced_steps = trace(self._run_steps)
        if model.run_eagerly:
            self._traced_one = self._run_one
            self._traced_steps = self._run_steps

    def __call__(self, iterator: Any) -> Logs:
        """Runs the next steps.

        Args:
            iterator: The batches.

        Returns:
            The metrics' running values.

        Raises:
            StopIteration: If there is no batch, which ends the epoch in `fit`.
                Keras takes a `tf.errors.OutOfRangeError` for the same.
        """
        logs: Logs
        if not isinstance(iterator, tf.data.Iterator):
            # The single batch of `train_on_batch` or `test_on_batch`.
            logs = self._traced_one(next(iterator))
            return logs
        if not has_replicas(self._model):
            choose_metrics(self._model, iterator.element_spec)
        with needing_all_workers():
            done, logs = self._traced_steps(iterator)
        if not int(done):
            raise StopIteration
        return logs

    def get_concrete_function(self, iterator: tf.data.Iterator) -> Any:
        """Returns the traced steps, as `tf.function` does.

        Args:
            iterator: The batches. Nothing is read.

        Returns:
            `None` for a model that runs eagerly.
        """
        if self._model.run_eagerly:
            return None
        return self._traced_steps.get_concrete_function(iterator)

    def _run_one(self, batch: Any) -> Logs:
        self._step(drop_optionals(batch))
        logs: Logs = self._model.get_metrics_result()
        return logs

    def _run_steps(self, iterator: tf.data.Iterator) -> tuple[tf.Tensor, Logs]:
        limit = self._model.steps_per_execution
        if limit == 1:
            return tf.constant(1), self._run_one(iterator.get_next())

        def one_more(done: tf.Tensor, batch: Any) -> Any:
            self._step(drop_optionals(batch.get_value()))
            done += 1
            # A batch that is taken but not used would be lost.
            batch = tf.cond(
                done < limit, iterator.get_next_as_optional, lambda: batch
            )
            return done, batch

        done, _ = tf.while_loop(
            lambda done, batch: (done < limit) & batch.has_value(),
            one_more,
            [tf.constant(0), iterator.get_next_as_optional()],
            parallel_iterations=1,
        )
        return done, self._model.get_metrics_result()


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
