"""A line that shows the progress of a training."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import logging as python_logging
import math
import numbers
import os
import shutil
import sys
import time
from typing import Any
from typing import TextIO
import weakref

from absl import logging

from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port.callbacks._monitor import Mode
from keras_port.callbacks._monitor import Monitor
from keras_port.callbacks._steps import get_step
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.training import StepLog
from keras_port.training import is_chief


class StepProgress(EvaluationListener):
    """Shows the step, the loss, the speed, the time left, and evaluations.

    On a terminal it updates one line in place, and ends this line before a
    warning is printed. Every evaluation gets a line that stays and says whether
    the result was better. If the output is a file, these are the only lines.
    Use it with `fit(..., verbose=0)`.

    The loss is that of the newest batch if the model is a `GradientModel`, per
    example as in evaluations, and otherwise the mean since the epoch began. The
    time left is that of all steps; if a callback may stop the training earlier,
    it says "at most". On a narrow terminal, time and speed are left out where
    they do not fit.

    Args:
        batch_size: Examples per step, to show examples per second. Defaults to
            `None`: steps per second.
        monitor: Result that decides whether an evaluation was better. Defaults
            to `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"`, as in `StepEarlyStopping`.
            Defaults to `"auto"`.
        patience: Number of evaluations without improvement after which
            training stops, to show how many of them have passed. Defaults to
            `None`.
        stream: Where to write; it needs a method `write`. Defaults to
            `sys.stdout`, and to nothing in a process that has none.
        interval: Seconds between two updates of the line. Defaults to 0.5.
        live: Whether to update the line in place. Defaults to `None`: on a
            terminal and in a notebook.
        clock: Function that returns seconds. Defaults to `time.monotonic`.

    Raises:
        ValueError: If `batch_size` or `patience` is not an integer, or the
            direction is unknown.

    Example:

    >>> progress = StepProgress(batch_size=100, patience=20)
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=2,
    ...     callbacks=[
    ...         StepEvaluation(splits.validation, eval_freq=2),
    ...         progress,
    ...     ],
    ...     verbose=0,
    ... )
    step 2/2  loss ... examples/s  val_...  better
    """

    def __init__(
        self,
        *,
        batch_size: int | None = None,
        monitor: str = "val_accuracy",
        mode: Mode = "auto",
        patience: int | None = None,
        stream: TextIO | None = None,
        interval: float = 0.5,
        live: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        if batch_size is not None:
            batch_size = check_integer("batch_size", batch_size)
        if patience is not None:
            patience = check_integer(
                "patience", patience, minimum=0, note=", in evaluations"
            )
        self.batch_size = batch_size
        self.monitor = monitor
        self.patience = patience
        self.stream = stream
        self.interval = interval
        self.live = live
        self.clock = clock
        self._monitor = Monitor(monitor, mode)
        # Not those of a `StepEarlyStopping`, which may be absent, and whose
        # `min_delta` and `baseline` count differently.
        self._best: float | None = None
        self._misses = 0
        self._forget_watch: Callable[[], Any] | None = None
        self._origin: int | None = None
        self._measured_from: tuple[int, float] | None = None
        self._shown = 0.0
        self._line_length = 0
        self._written_step: int | None = None
        self._logs: dict[str, float] = {}

    def __repr__(self) -> str:
        return format_call(self, "batch_size", "monitor", "patience")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        # Without `super()`, which would require a `StepEvaluation`: the
        # progress can be shown without one.
        self._best, self._misses = None, 0
        self._origin = self._measured_from = self._written_step = None
        self._shown, self._line_length, self._logs = self.clock(), 0, {}
        if self._forget_watch is None and self._is_terminal():
            self._forget_watch = watch_warnings(self._end_line)

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Remembers the first step; a resumed training is restored by now."""
        if self._origin is None:
            self._origin = get_step(self.model)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Updates the line if `interval` seconds have passed."""
        self._logs = logs or {}
        now = self.clock()
        if self._measured_from is None:
            # Not from the first call, which builds the graph.
            self._measured_from = (get_step(self.model), now)
        if not is_chief(self.model):
            return
        if self._is_terminal() and now - self._shown >= self.interval:
            self._shown = now
            # At this step there may be a line that stays.
            if get_step(self.model) != self._written_step:
                self._write_over(self._format_line()[: self._get_width()])

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Writes one line that stays."""
        results = [f"{name} {value:.4f}" for name, value in logs.items()]
        if self.monitor in logs:
            results.append(self._judge(logs[self.monitor]))
        self._write_line(self._format_line(results))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the last status as a line that stays."""
        if get_step(self.model) != self._written_step:
            self._write_line(self._format_line())
        self._end_line()
        self._stop_watching()

    def on_train_interrupted(self) -> None:
        """Ends the line, so that an error message has a line of its own."""
        self._end_line()
        self._stop_watching()

    def get_state(self) -> dict[str, Any]:
        """Returns the state that a resumed training needs."""
        return {"best": self._best, "misses": self._misses}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        self._best, self._misses = state["best"], state["misses"]

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to one `fit` and cannot be copied."""
        return {**super().__getstate__(), "_forget_watch": None}

    def _judge(self, value: float) -> str:
        """Counts a result, and returns whether it was better in words."""
        if self._monitor.is_better(value, self._best):
            self._best, self._misses = value, 0
            return "better"
        self._misses += 1
        limit = "" if self.patience is None else f" of {self.patience}"
        return f"not better ({self._misses}{limit})"

    def _format_line(self, results: Sequence[str] = ()) -> str:
        """Returns the step, the speed and the results of an evaluation.

        On a narrow terminal, the time left and the speed are left out if they
        would make the line too long.
        """
        step, limit = get_step(self.model), self._get_last_step()
        first = [f"step {step:,}" + (f"/{limit:,}" if limit else "")]
        loss = self._get_loss()
        if loss is not None:
            first.append(f"loss {loss:.4g}")
        speed = self._list_speed(step, limit)
        line = "  ".join([*first, *speed, *results])
        while speed and self._is_terminal() and len(line) > self._get_width():
            speed.pop()
            line = "  ".join([*first, *speed, *results])
        return line

    def _list_speed(self, step: int, limit: int | None) -> list[str]:
        """Returns the speed and the time left, as far as they are known."""
        rate = self._measure_rate()
        if not rate:
            return []
        parts = [f"{rate:,.1f} steps/s"]
        if self.batch_size is not None:
            parts = [f"{rate * self.batch_size:,.0f} examples/s"]
        if limit and step < limit:
            left = f"{format_duration((limit - step) / rate)} left"
            parts.append(f"at most {left}" if self._may_stop() else left)
        return parts

    def _get_loss(self) -> float | None:
        """Returns the newest loss, `None` before the first batch."""
        if not self._logs:
            return None
        log: StepLog | None = getattr(self.model, "step_log", None)
        loss: Any = math.nan if log is None else float(log.mean_loss)
        if math.isnan(loss):
            # A `train_step` of one's own may record no loss of its batch. If
            # the loss itself is NaN, so is the one of the logs.
            loss = self._logs.get("loss")
        return float(loss) if isinstance(loss, numbers.Real) else None

    def _may_stop(self) -> bool:
        """Returns whether a callback may stop the training earlier."""
        listeners = get_channel(self.model).listeners
        return any(
            getattr(listener, "patience", None) is not None
            for listener in [self, *listeners]
        )

    def _measure_rate(self) -> float:
        """Returns steps per second, including evaluations and saving."""
        if self._measured_from is None:
            return 0.0
        step, since = self._measured_from
        seconds = self.clock() - since
        return (get_step(self.model) - step) / seconds if seconds > 0 else 0.0

    def _get_last_step(self) -> int | None:
        """Returns the step at which `fit` ends, if it is known."""
        # A loop of one's own may give no parameters.
        params = self.params or {}
        steps, epochs = params.get("steps"), params.get("epochs")
        if self._origin is None or not steps:
            return None  # No step has begun in this `fit`.
        last_step: int = self._origin + steps * (epochs or 1)
        return last_step

    def _is_terminal(self) -> bool:
        if self.live is not None:
            return self.live
        stream = self._get_stream()
        # The cell of a notebook shows a line that is written over, but its
        # stream says that it is no terminal.
        if type(stream).__module__.startswith("ipykernel"):
            return True
        isatty = getattr(stream, "isatty", None)
        return isatty is not None and bool(isatty())

    def _get_stream(self) -> TextIO | None:
        # Looked up every time, because tests and notebooks replace
        # `sys.stdout`. A process without a console has none.
        return self.stream or sys.stdout

    def _write(self, text: str) -> None:
        stream = self._get_stream()
        if stream is None:
            return
        stream.write(text)
        # What programs put in the place of `sys.stdout` may have no more
        # methods than they need.
        flush = getattr(stream, "flush", None)
        if flush is not None:
            flush()

    def _write_over(self, line: str) -> None:
        padding = " " * (self._line_length - len(line))
        self._write(f"\r{line}{padding}")
        self._line_length = len(line)

    def _end_line(self) -> None:
        """Lets the line stay, if there is one that is being updated."""
        if self._line_length:
            self._line_length = 0
            self._write("\n")

    def _stop_watching(self) -> None:
        if self._forget_watch is not None:
            self._forget_watch()
        self._forget_watch = None

    def _write_line(self, line: str) -> None:
        self._written_step = get_step(self.model)
        if not is_chief(self.model):
            return
        if self._is_terminal():
            self._write_over(line)
            self._end_line()
        else:
            self._write(f"{line}\n")

    def _get_width(self) -> int:
        """Returns the columns of the terminal, without the last one.

        A line that reaches the last column would begin a new one.
        """
        columns = shutil.get_terminal_size().columns
        stream = self._get_stream()
        # A stream of the program's own may have no file.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            assert stream is not None
            columns = os.get_terminal_size(stream.fileno()).columns
        return max(columns, 20) - 1


def watch_warnings(before: Callable[[], None]) -> Callable[[], Any]:
    """Calls a method before every message of absl, as long as its object lives.

    Args:
        before: The method.

    Returns:
        A function that ends this.
    """
    reference = weakref.WeakMethod(before)

    def filter_record(record: python_logging.LogRecord) -> bool:
        method = reference()
        if method is not None:
            method()
        return True

    logger = logging.get_absl_logger()
    logger.addFilter(filter_record)
    # Keras calls nothing when `fit` raises an exception.
    owner = getattr(before, "__self__", None)
    return weakref.finalize(owner, logger.removeFilter, filter_record)


def format_duration(seconds: float) -> str:
    """Returns seconds as hours, minutes and seconds: 3,725 as "1:02:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"
