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
from keras_port.callbacks.tensorboard.running_means import RunningMeans
from keras_port.training import StepLog
from keras_port.training import StepValues


class StepScalars:
    """Writes loss, metrics, learning rate, gradient norm and speed by step.

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
        # Step and time from which the speed is measured; not from the start
        # of the first call, which builds the graph.
        self._measured_from: tuple[int, float] | None = None
        self._examples = 0.0
        self._learning_rate = 0.0
        # Steps and values of every metric that are still to be written.
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._curves: dict[str, Any] = {}

    def before_step(self) -> None:
        """Records the learning rate that the next update will use."""
        if self._step_log is None or self._measured_from is None:
            rate = self.model.optimizer.learning_rate
            self._learning_rate = float(np.asarray(rate))

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
            for name, value in means.items():
                self._points.setdefault(name, []).append((step, value))
        elif is_due:
            rate = {"learning_rate": self._learning_rate}
            values = self._means.since_last() | rate | self._measure_speed()
            self._write_values(step, values)
        log = self._step_log
        if log is not None and step - self._written >= log.size // 4:
            # Many steps at once, but long before they are overwritten.
            self.flush()

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
        """Writes the values that are still on the device."""
        if self._step_log is None or self._step == self._written:
            return
        values = self._step_log.read(self._written, self._step)
        self._written = self._step
        wanted = values.step % self.update_freq == 0
        for name in ("loss", "learning_rate", "gradient_norm"):
            curve = getattr(values, name)[wanted]
            self._write_curve(name, values.step[wanted], curve)
        for name, points in self._points.items():
            steps, curve = zip(*points, strict=True)
            self._write_curve(name, steps, curve)
        self._points = {}
        self._write_values(self._step, self._measure_speed(values))

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

    def _measure_speed(
        self, values: StepValues | None = None
    ) -> dict[str, float]:
        """Returns the rates since the last call, including all waiting."""
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
