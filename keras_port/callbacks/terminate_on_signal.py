"""Ctrl-C that ends a training in order."""

import signal
import threading
from types import FrameType
from typing import Any

from absl import logging
import keras

from keras_port.training.workers import workers_of


class TerminateOnSignal(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training in order when somebody asks the process to stop.

    Without it Ctrl-C is an exception in the middle of `fit`: no callback hears
    of the end, and nothing is restored or closed. With it the running step is
    finished, `fit` returns, and every callback's `on_train_end` is called. A
    second signal ends at once with `KeyboardInterrupt`. After `fit`, also one
    that raised, signals do what they did before. On several machines a signal
    to one of them ends the training of all after the same step.

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
        self._handlers: dict[int, Any] = {}
        self._history: keras.callbacks.History | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins to listen."""
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            logging.warning(
                "TerminateOnSignal hears nothing: Python gives signals to the "
                "main thread, and `fit` runs in another."
            )
            return
        # What a `fit` that raised has left.
        self._give_back()
        self._history = getattr(self.model, "history", None)
        for number in self.signals:
            self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Asks `fit` to end, if a signal has come."""
        self._ask_workers()
        if self.received is not None:
            self.model.stop_training = True

    def _ask_workers(self) -> None:
        """Takes note of a signal that another machine has got."""
        workers = workers_of(self.model)
        if workers is None:
            return
        own = signal.Signals[self.received] if self.received else 0
        number = max(int(value) for value in workers.values(own))
        if number and self.received is None:
            self.received = signal.Signals(number).name
            logging.warning(
                "%s on another worker: ending after this step.", self.received
            )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Gives the signals back to who had them."""
        self._give_back()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._is_in_fit(frame):
            # `fit` raised, and Keras tells no callback of that.
            before = self._handlers.get(number)
            self._give_back()
            hand_on(number, frame, before)
            return
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        logging.warning(
            "%s: ending after this step. The same signal again ends at once.",
            self.received,
        )

    def _is_in_fit(self, frame: FrameType | None) -> bool:
        """Tells whether a signal came while the `fit` of this object ran."""
        # Each `fit` gives the model a new `History`, which stays when it ends.
        if getattr(self.model, "history", None) is not self._history:
            return False
        while frame is not None:
            if (
                frame.f_code.co_name == "fit"
                and frame.f_locals.get("self") is self.model
            ):
                return True
            frame = frame.f_back
        return False

    def _give_back(self) -> None:
        for number, handler in self._handlers.items():
            # Unless somebody has put a handler over this one since.
            if signal.getsignal(number) == self._on_signal:
                # Python cannot name a handler that it did not install.
                signal.signal(
                    number, signal.SIG_DFL if handler is None else handler
                )
        self._handlers = {}


def hand_on(number: int, frame: FrameType | None, handler: Any) -> None:
    """Does with a signal what another handler would have done."""
    if callable(handler):
        handler(number, frame)
    elif handler != signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(signal.Signals(number))
