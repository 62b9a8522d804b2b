"""The line that a person watches."""

from collections.abc import Callable
import sys
import time
from typing import Any
from typing import TextIO

from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.monitor import Mode
from keras_port.callbacks.monitor import Monitor
from keras_port.training.workers import is_chief


class StepProgress(EvaluationListener):
    """Shows the step, the loss, the speed, the time left, and each validation.

    On a terminal one line is written over and over. Each evaluation gets a
    line of its own that stays and says whether it was better; where the output
    is a file, these are the only lines. Use it with `fit(..., verbose=0)`.

    Args:
        batch_size: Examples per step, to show examples per second. Defaults to
            `None`: steps per second.
        monitor: Result that says whether an evaluation was better. Defaults to
            `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"`, as in `StepEarlyStopping`.
            Defaults to `"auto"`.
        patience: Evaluations without improvement at which training will be
            stopped, to show how many of them have passed. Defaults to `None`.
        stream: Where to write. Defaults to `sys.stdout`.
        interval: Seconds between two writings of the line. Defaults to 0.5.
        clock: Function that returns seconds. Defaults to `time.monotonic`.

    Example:

    >>> progress = StepProgress(batch_size=100, patience=20)
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=2,
    ...     callbacks=[StepEvaluation(splits.validation), progress],
    ...     verbose=0,
    ... )
    step 2/2  loss ... examples/s
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.monitor = Monitor(monitor, mode)
        self.patience = patience
        self.stream = stream
        self.interval = interval
        self.clock = clock
        self._best: float | None = None
        self._misses = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        # No evaluation is needed to show the progress, so the check of
        # `EvaluationListener` is left out.
        self._best, self._misses = None, 0
        self._origin: int | None = None
        self._measured_from: tuple[int, float] | None = None
        self._shown = self.clock()
        self._line_length = 0
        self._written_step: int | None = None
        self._logs: dict[str, float] = {}

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Counts from where a resumed training goes on."""
        if self._origin is None:
            self._origin = self._step()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes the line again, if it is time to."""
        self._logs = logs or {}
        now = self.clock()
        if self._measured_from is None:
            # The first call builds the graph and says nothing of the speed.
            self._measured_from = (self._step(), now)
        if not is_chief(self.model):
            return
        if self._out().isatty() and now - self._shown >= self.interval:
            self._shown = now
            self._write_over(self._status())

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Writes one line that stays."""
        results = [f"{name} {value:.4f}" for name, value in logs.items()]
        if self.monitor.name in logs:
            results.append(self._verdict(logs[self.monitor.name]))
        self._write_line("  ".join([self._status(), *results]))

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leaves the last state of the line."""
        if self._step() != self._written_step:
            self._write_line(self._status())

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed training must know of this callback."""
        return {"best": self._best, "misses": self._misses}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self._best, self._misses = state["best"], state["misses"]

    def _verdict(self, value: float) -> str:
        if self.monitor.is_better(value, self._best):
            self._best, self._misses = value, 0
            return "better"
        self._misses += 1
        limit = "" if self.patience is None else f" of {self.patience}"
        return f"not better ({self._misses}{limit})"

    def _status(self) -> str:
        step, limit, rate = self._step(), self._limit(), self._rate()
        parts = [f"step {step:,}" + (f"/{limit:,}" if limit else "")]
        loss = getattr(self.model, "batch_loss", self._logs.get("loss"))
        if loss is not None and self._logs:
            parts.append(f"loss {loss:.4g}")
        if self.batch_size is None:
            parts.append(f"{rate:,.1f} steps/s")
        else:
            parts.append(f"{rate * self.batch_size:,.0f} examples/s")
        if limit and rate > 0 and step < limit:
            parts.append(f"{duration((limit - step) / rate)} left")
        return "  ".join(parts)

    def _rate(self) -> float:
        """Returns steps per second, evaluations and saving included."""
        if self._measured_from is None:
            return 0.0
        step, since = self._measured_from
        seconds = self.clock() - since
        return (self._step() - step) / seconds if seconds > 0 else 0.0

    def _limit(self) -> int | None:
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        return (self._origin or 0) + steps * epochs if steps else None

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _out(self) -> TextIO:
        # Asked for each time: a test or a notebook exchanges `sys.stdout`.
        return self.stream or sys.stdout

    def _write_over(self, line: str) -> None:
        padding = " " * (self._line_length - len(line))
        self._out().write(f"\r{line}{padding}")
        self._out().flush()
        self._line_length = len(line)

    def _write_line(self, line: str) -> None:
        self._written_step = self._step()
        if not is_chief(self.model):
            return
        if self._out().isatty():
            self._write_over(line)
            self._out().write("\n")
            self._line_length = 0
        else:
            self._out().write(f"{line}\n")
        self._out().flush()


def duration(seconds: float) -> str:
    """Returns seconds as a person reads them, 3,725 as "1:02:05"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"
