"""The curves of the training, with a point every `update_freq` steps."""

from collections.abc import Callable
from collections.abc import Mapping
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import get_step
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.callbacks.tensorboard.running_means import RunningMeans
from keras_port.training import StepLog
from keras_port.training import flatten_results

# TensorBoard opens the first two groups of the alphabet, which are then the
# accuracy and the loss.
LEARNING_RATE = "optimizer/learning_rate"
GRADIENT_NORM = "optimizer/gradient_norm"
SUMMED_LOSS = "optimizer/summed_loss"
STEPS_PER_SECOND = "speed/steps_per_second"
EXAMPLES_PER_SECOND = "speed/examples_per_second"


class StepScalars:
    """Writes loss, metrics, learning rate, gradient norm and speed by step.

    A loss that is a sum over the examples is shown as their mean, so that it
    has the unit of the evaluations. The sum is a curve of its own.

    For a `GradientModel` it writes the values of every single step. For other
    models only the end of a call is visible; their loss is the mean over the
    steps since the last point.

    Args:
        model: The model in training.
        writer: Writer of the `train` run.
        update_freq: Steps between points.
        tags: Names of curves that replace the names of the results.
        clock: Function that returns seconds.
    """

    def __init__(
        self,
        model: keras.Model,
        writer: tf.summary.SummaryWriter,
        *,
        update_freq: int,
        tags: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self.model = model
        self.writer = writer
        self.update_freq = update_freq
        self._every = Every(update_freq)
        self.tags = tags
        self.clock = clock
        self._step_log: StepLog | None = getattr(model, "step_log", None)
        if self._step_log is not None:
            self._step_log.norm_freq.assign(update_freq)
        self._means = RunningMeans(model)
        # The newest step, and the last one that has been written.
        self._step = self._written = get_step(model)
        self._every.restart(self._step)
        self._logs_every = Every(update_freq)
        self._logs_every.restart(self._step)
        # Curves whose values do not come from the logs.
        self._known: set[str] = set()
        # The last step at which the speed was measured.
        self._flushed = self._step
        # Step and time from which the speed is measured; not from the start
        # of the first call, which builds the graph.
        self._measured_from: tuple[int, float] | None = None
        self._examples = 0.0
        self._learning_rate: float | None = None
        # Steps and values of every metric that are still to be written.
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._curves: dict[str, Any] = {}

    def before_step(self) -> None:
        """Records the learning rate that the next update will use."""
        if self._step_log is None or self._measured_from is None:
            # A `MultiOptimizer` has several, and a model that keeps its
            # optimizers itself may have none.
            rate = getattr(self.model.optimizer, "learning_rate", None)
            self._learning_rate = (
                None if rate is None else float(np.asarray(rate))
            )

    def on_step(self, step: int) -> None:
        """Records the steps up to `step`, and writes them when it is time."""
        is_due = self._every.is_due(step)
        self._step = step
        if self._measured_from is None and step > self._written:
            self._measured_from = (step, self.clock())
            self._check_log()
        if is_due and self._step_log is not None:
            means = self._means.since_last()
            means.pop("loss", None)
            self._known |= {"loss", *means}
            for name, value in means.items():
                self._points.setdefault(name, []).append((step, value))
        elif is_due:
            values = self._means.since_last()
            self._known |= set(values)
            if self._learning_rate is not None:
                values[LEARNING_RATE] = self._learning_rate
            self._write_values(step, values | self._measure_speed())
        log = self._step_log
        if log is not None and step - self._flushed >= log.size // 4:
            # Many steps at once, but long before they are overwritten.
            self.flush()

    def on_logs(self, step: int, logs: Mapping[str, Any]) -> None:
        """Writes what only the logs hold, the results of a custom step.

        Args:
            step: The newest step, after `on_step`.
            logs: Logs of its batch.
        """
        if not self._logs_every.is_due(step):
            return
        values = flatten_results(
            {k: v for k, v in logs.items() if k not in self._known}
        )
        # The results of evaluations have curves and steps of their own.
        is_result = get_channel(self.model).is_result
        rest = {
            k: v
            for k, v in values.items()
            if k not in self._known and not is_result(k)
        }
        if rest:
            self._write_values(step, rest)

    def end_call_early(self, step: int) -> None:
        """Records the steps of a call that has raised an exception.

        Args:
            step: The newest step, which may not be complete. The log holds
                only steps that are.
        """
        if self._step_log is not None:
            self._step = step

    def end_epoch(self) -> None:
        """Keeps the metrics that the end of the epoch resets."""
        self._means.end_epoch()

    def begin_epoch(self) -> None:
        """Continues with metrics that have been reset."""
        self._means.begin_epoch()

    def get_state(self) -> dict[str, Any]:
        """Returns the newest points, which a resumed training needs."""
        return self._means.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        self._means.set_state(state)

    def flush(self) -> None:
        """Writes the values that are still on the device, and the speed."""
        if self._step_log is None or self._step == self._flushed:
            return
        self.write_steps()
        self._flushed = self._step
        self._write_values(self._step, self._measure_speed())

    def write_steps(self) -> None:
        """Writes the values that are still on the device."""
        if self._step_log is None or self._step == self._written:
            return
        values = self._step_log.read(self._written, self._step)
        self._written = self._step
        if self._measured_from is not None:
            is_new = values.step > self._measured_from[0]
            self._examples += float(values.examples[is_new].sum())
        wanted = values.step % self.update_freq == 0
        curves = {
            "loss": values.mean_loss,
            LEARNING_RATE: values.learning_rate,
            GRADIENT_NORM: values.gradient_norm,
        }
        if not np.array_equal(values.loss, values.mean_loss, equal_nan=True):
            curves[SUMMED_LOSS] = values.loss
        for name, curve in curves.items():
            # A model with several learning rates has none to show.
            is_there = wanted & ~(np.isnan(curve) & (name == LEARNING_RATE))
            self._write_curve(name, values.step[is_there], curve[is_there])
        for name, points in self._points.items():
            steps, means = zip(*points, strict=True)
            self._write_curve(name, steps, means)
        self._points = {}

    def close(self) -> None:
        """Writes the rest, and stops the computation of gradient norms."""
        self.flush()
        if self._step_log is not None:
            self._step_log.norm_freq.assign(0)

    def _check_log(self) -> None:
        """Stops reading the log if a custom `train_step` does not write it."""
        log = self._step_log
        if log is not None and not len(
            log.read(self._written, self._step).step
        ):
            log.norm_freq.assign(0)
            self._step_log = None

    def _measure_speed(self) -> dict[str, float]:
        """Returns the rates since the last call, including all waiting."""
        if self._measured_from is None:
            return {}
        before, since = self._measured_from
        seconds = self.clock() - since
        if self._step == before or seconds <= 0:
            return {}
        self._measured_from = (self._step, since + seconds)
        speed = {STEPS_PER_SECOND: (self._step - before) / seconds}
        if self._step_log is not None:
            speed[EXAMPLES_PER_SECOND] = self._examples / seconds
            self._examples = 0.0
        return speed

    def _write_values(self, step: int, values: Mapping[str, float]) -> None:
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(self._get_tag(name), value)

    def _write_curve(self, name: str, steps: Any, values: Any) -> None:
        if name not in self._curves:
            # One call of a graph writes many points.
            self._curves[name] = tf.function(
                functools.partial(
                    write_points, self.writer, self._get_tag(name)
                ),
                input_signature=[
                    tf.TensorSpec([None], tf.int64),
                    tf.TensorSpec([None], tf.float64),
                ],
                autograph=False,
            )
        self._curves[name](
            tf.constant(steps, tf.int64), tf.constant(values, tf.float64)
        )

    def _get_tag(self, name: str) -> str:
        return self.tags.get(name, name)


def write_points(
    writer: tf.summary.SummaryWriter,
    tag: str,
    steps: tf.Tensor,
    values: tf.Tensor,
) -> None:
    """Writes the points of a curve, in a loop of the graph."""

    def write(at: tf.Tensor) -> tf.Tensor:
        # The scope of the loop would become part of the tag.
        with writer.as_default(), tf.name_scope("/"):
            tf.summary.scalar(tag, values[at], steps[at])
        return at + 1

    tf.while_loop(lambda at: at < tf.size(steps), write, [tf.constant(0)])
