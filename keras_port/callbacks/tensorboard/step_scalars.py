"""The curves of the training, a point for each step that is asked for."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.callbacks.tensorboard.running_means import RunningMeans
from keras_port.training.step_log import StepLog
from keras_port.training.step_log import StepValues


class StepScalars:
    """Writes loss, metrics, learning rate, gradient norm and speed by step.

    Of a `GradientModel` each step's own values are written. Other models tell
    of the end of a call only; there a loss is the mean of the steps since the
    last point.

    Args:
        model: The model in training.
        writer: Writer of the `train` run.
        update_freq: Steps between points.
        tags: Names for the dashboard in the place of those of the results.
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
        self.tags = tags
        self.clock = clock
        self._step_log: StepLog | None = getattr(model, "step_log", None)
        if self._step_log is not None:
            self._step_log.norm_freq.assign(update_freq)
        self._means = RunningMeans(model)
        self._step = self._written = int(model.optimizer.iterations)
        # Step and time of the newest speed; the first call builds the graph
        # and says nothing of it.
        self._measured_from: tuple[int, float] | None = None
        self._examples = 0.0
        self._learning_rate = 0.0
        self._write_rows = tf.function(self._write, reduce_retracing=True)

    def before_step(self) -> None:
        """Takes note of the rate that the next update will use."""
        if self._step_log is None or self._measured_from is None:
            rate = self.model.optimizer.learning_rate
            self._learning_rate = float(np.asarray(rate))

    def on_step(self, step: int) -> None:
        """Takes note of the steps up to `step`, and writes when it is time."""
        due = step // self.update_freq > self._step // self.update_freq
        self._step = step
        if self._measured_from is None and step > self._written:
            self._measured_from = (step, self.clock())
            self._look_for_rows()
        if due:
            means = self._means.since_last()
            if self._step_log is not None:
                means.pop("loss", None)
            self._write_values(step, means)
        if self._step_log is None:
            if due:
                rate = {"learning_rate": self._learning_rate}
                self._write_values(step, rate | self._speed())
        elif step - self._written >= self._step_log.size // 4:
            # Read in one go, long before it is written over.
            self.flush()

    def end_epoch(self) -> None:
        """Keeps what the end of the epoch, or an evaluation, takes away."""
        self._means.end_epoch()

    def begin_epoch(self) -> None:
        """Goes on with metrics that begin anew."""
        self._means.begin_epoch()

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed training must know of the newest points."""
        return self._means.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self._means.set_state(state)

    def flush(self) -> None:
        """Writes what is still kept in the device, up to the newest step."""
        if self._step_log is None or self._step == self._written:
            return
        values = self._step_log.read(self._written, self._step)
        self._written = self._step
        wanted = values.step % self.update_freq == 0
        if wanted.any():
            self._write_rows(
                tf.constant(values.step[wanted]),
                tf.constant(values.loss[wanted]),
                tf.constant(values.learning_rate[wanted]),
                tf.constant(values.gradient_norm[wanted]),
            )
        self._write_values(self._step, self._speed(values))

    def close(self) -> None:
        """Writes the rest, and asks for no more gradient norms."""
        self.flush()
        if self._step_log is not None:
            self._step_log.norm_freq.assign(0)

    def _look_for_rows(self) -> None:
        """Does without the log if the model's own `train_step` has none."""
        log = self._step_log
        if log is not None and not len(
            log.read(self._written, self._step).step
        ):
            log.norm_freq.assign(0)
            self._step_log = None

    def _speed(self, values: StepValues | None = None) -> dict[str, float]:
        """Returns the rates since the last call, all waiting included."""
        if self._measured_from is None:
            return {}
        before, since = self._measured_from
        if values is not None:
            self._examples += float(values.examples[values.step > before].sum())
        seconds = self.clock() - since
        if self._step == before or seconds <= 0:
            return {}
        self._measured_from = (self._step, since + seconds)
        speed = {"steps_per_second": (self._step - before) / seconds}
        if values is not None:
            speed["examples_per_second"] = self._examples / seconds
            self._examples = 0.0
        return speed

    def _write_values(self, step: int, values: Mapping[str, float]) -> None:
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(self._tag(name), value)

    # As a graph, one call writes many points.
    def _write(
        self,
        steps: tf.Tensor,
        losses: tf.Tensor,
        rates: tf.Tensor,
        norms: tf.Tensor,
    ) -> None:
        with self.writer.as_default():
            for at in tf.range(tf.size(steps)):
                # The loop's scope would stand before the tags.
                with tf.name_scope("/"):
                    step = steps[at]
                    tf.summary.scalar(self._tag("loss"), losses[at], step)
                    rate = self._tag("learning_rate")
                    tf.summary.scalar(rate, rates[at], step)
                    norm = self._tag("gradient_norm")
                    tf.summary.scalar(norm, norms[at], step)

    def _tag(self, name: str) -> str:
        return self.tags.get(name, name)
