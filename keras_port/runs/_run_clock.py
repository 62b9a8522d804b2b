"""The time of a run, over all of its starts."""

import time

import keras


class RunClock(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures the time of a run, over all of its starts.

    Args:
        batch_size: Examples in a batch, 0 if it is not fixed.

    Attributes:
        seconds: Wall time of `fit`, without what was lost in a kill.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.seconds = 0.0
        self._batch_size = batch_size
        self._started = time.perf_counter()
        # After the first call of a start, which builds the graph.
        self._measured_steps = 0
        self._measured_seconds = 0.0
        self._first: tuple[int, float] | None = None

    @property
    def examples_per_second(self) -> float:
        """Training examples per second after the first call."""
        if not self._measured_seconds:
            return 0.0
        examples = self._measured_steps * self._batch_size
        return examples / self._measured_seconds

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Starts measuring the speed."""
        if self._first is None:
            self._first = self._now()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Measures the time until now."""
        self._measure()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Measures the time until now."""
        self._measure()

    def get_notes(self) -> dict[str, float]:
        """Returns the times so far, for a snapshot."""
        self._measure()
        return {
            "seconds": self.seconds,
            "measured_steps": self._measured_steps,
            "measured_seconds": self._measured_seconds,
        }

    def set_notes(self, notes: dict[str, float]) -> None:
        """Adds the times of the earlier starts.

        Raises:
            ValueError: If they are not what `get_notes` has returned.
        """
        names = ("seconds", "measured_steps", "measured_seconds")
        values = [notes.get(name, 0.0) for name in names]
        if not all(isinstance(one, int | float) for one in values):
            raise ValueError(f"A snapshot has the times {values}.")
        self.seconds += values[0]
        self._measured_steps += int(values[1])
        self._measured_seconds += values[2]

    def _measure(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._started
        self._started = now
        if self._first is None:
            return
        step, since = self._first
        self._first = self._now()
        self._measured_steps += self._first[0] - step
        self._measured_seconds += self._first[1] - since

    def _now(self) -> tuple[int, float]:
        return int(self.model.optimizer.iterations.numpy()), time.perf_counter()
