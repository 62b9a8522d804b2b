"""Ctrl-C that ends a training in order."""

import signal
import threading
from typing import Any

from absl import logging
import keras


class TerminateOnSignal(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training in order when somebody asks the process to stop.

    Without it Ctrl-C is an exception in the middle of `fit`: no callback hears
    of the end, and nothing is restored or closed. With it the running step is
    finished, `fit` returns, and every callback's `on_train_end` is called. A
    second signal ends at once with `KeyboardInterrupt`.

    Args:
        signals: Signals to listen to. Defaults to SIGINT, which is Ctrl-C,
            and SIGTERM.

    Attributes:
        received: Name of the signal that ended the training, or `None`.

    Example:

    >>> terminate = TerminateOnSignal()
    >>> history = model.fit(
    ...     batches, steps_per_epoch=2, callbacks=[terminate], verbose=0
    ... )
    >>> terminate.received is None
    True
    """

    def __init__(
        self,
        *,
        signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM),
    ) -> None:
        super().__init__()
        self.signals = signals
        self.received: str | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins to listen."""
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            logging.warning(
                "TerminateOnSignal hears nothing: Python gives signals to the "
                "main thread, and `fit` runs in another."
            )
            return
        for number in self.signals:
            self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Asks `fit` to end, if a signal has come."""
        if self.received is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Gives the signals back to who had them."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _on_signal(self, number: int, frame: object) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        logging.warning(
            "%s: ending after this step. The same signal again ends at once.",
            self.received,
        )
