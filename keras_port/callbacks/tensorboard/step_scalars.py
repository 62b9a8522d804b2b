"""The curves of the training, a point for each step that is asked for."""

from collections.abc import Callable
from collections.abc import Mapping
import functools
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
        self._step = self._written = int(model.optimizer.iterations.numpy())
        # Step and time of the newest speed; the first call builds the graph
        # and says nothing of it.
        self._measured_from: tuple[int, float] | None = None
        self._examples = 0.0
        self._learning_rate = 0.0
        # Steps and values of each metric that are still to be written.
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._curves: dict[str, Any] = {}

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
        if due and self._step_log is not None:
            means = self._means.since_last()
            means.pop("loss", None)
            for name, value in means.items():
                self._points.setdefault(name, []).append((step, value))
        elif due:
            rate = {"learning_rate": self._learning_rate}
            values = self._means.since_last() | rate | self._speed()
            self._write_values(step, values)
        log = self._step_log
        if log is not None and step - self._written >= log.size // 4:
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
        for name in ("loss", "learning_rate", "gradient_norm"):
            of_steps = getattr(values, name)[wanted]
            self._write_curve(name, values.step[wanted], of_steps)
        for name, points in self._points.items():
            steps, of_steps = zip(*points, strict=True)
            self._write_curve(name, steps, of_steps)
        self._points = {}
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

    def _write_curve(self, name: str, steps: Any, values: Any) -> None:
        if name not in self._curves:
            # As a graph, one call writes many points.
            self._curves[name] = tf.function(
                functools.partial(write_points, self.writer, self._tag(name)),
                input_signature=[
                    tf.TensorSpec([None], tf.int64),
                    tf.TensorSpec([None], tf.float64),
                ],
                autograph=False,
            )
        self._curves[name](
            tf.constant(steps, tf.int64), tf.constant(values, tf.float64)
        )

    def _tag(self, name: str) -> str:
        return self.tags.get(name, name)


def write_points(
    writer: tf.summary.SummaryWriter,
    tag: str,
    steps: tf.Tensor,
    values: tf.Tensor,
) -> None:
    """Writes the points of a curve, in a loop of the graph."""

    def write(at: tf.Tensor) -> tf.Tensor:
        # The loop's scope would stand before the tag.
        with writer.as_default(), tf.name_scope("/"):
            tf.summary.scalar(tag, values[at], steps[at])
        return at + 1

    tf.while_loop(lambda at: at < tf.size(steps), write, [tf.constant(0)])
