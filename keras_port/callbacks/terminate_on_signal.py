"""Ends a training in order on Ctrl-C."""

import inspect
import os
import signal
import threading
import traceback
from types import FrameType
from typing import Any
import weakref

from absl import logging
import keras

from keras_port._support import format_call
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.training import get_workers

# Seconds that a forked process has after a signal, for the step that is
# running.
GRACE = 10.0


class TerminateOnSignal(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training in order when the process is asked to stop.

    Without it Ctrl-C raises an exception in the middle of `fit`: Keras does
    not call `on_train_end`, so nothing is restored or closed. With it the
    running step is finished, `fit` returns, and `on_train_end` of every
    callback is called. A second signal ends the training at once with
    `KeyboardInterrupt`. After `fit`, even after one that raised an exception,
    signals do what they did before. Processes that were forked for the data
    go on until `fit` has ended. On several machines a signal to one of
    them ends the training on all of them after the same step.

    Args:
        signals: Signals to handle. Defaults to SIGINT, which is Ctrl-C, and
            SIGTERM.

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

    def __repr__(self) -> str:
        return format_call(self, "received")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Installs the signal handlers."""
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            logging.warning(
                "TerminateOnSignal has no effect: Python delivers signals to "
                "the main thread, and `fit` runs in another thread."
            )
            return
        if not is_in_fit(self.model, inspect.currentframe()):
            logging.warning(
                "TerminateOnSignal has no effect outside of `fit`: it cannot "
                "know whether a loop of your own is still running. Signals do "
                "what they do without it."
            )
            return
        # After a `fit` that raised an exception they are still installed.
        self._restore_handlers()
        self._history = getattr(self.model, "history", None)
        _active.add(self)
        for number in self.signals:
            self._handlers[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stops the training if a signal has been received."""
        self._ask_workers()
        if self.received is not None:
            self.model.stop_training = True
            get_channel(self.model).signal = self.received

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Restores the previous signal handlers."""
        self._restore_handlers()
        self._history = None

    def on_train_interrupted(self) -> None:
        """Restores the previous signal handlers after an exception.

        A `GradientModel` calls this; in other models, Keras calls nothing, and
        the handler itself finds out that `fit` is over.
        """
        self._restore_handlers()
        self._history = None

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to one `fit` and cannot be copied."""
        return {**super().__getstate__(), "_handlers": {}, "_history": None}

    def _ask_workers(self) -> None:
        """Records a signal that another machine has received."""
        workers = get_workers(self.model)
        if workers is None:
            return
        own = signal.Signals[self.received] if self.received else 0
        number = max(int(value) for value in workers.gather(own))
        if number and self.received is None:
            self.received = signal.Signals(number).name
            logging.warning(
                "%s on another worker: ending after this step.", self.received
            )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Keras calls no callback when `fit` raises an exception, so the
        # handler itself finds out whether its `fit` is still running. Every
        # `fit` sets a new `History` on the model.
        same_fit = getattr(self.model, "history", None) is self._history
        if not (same_fit and is_in_fit(self.model, frame)):
            previous = self._handlers.get(number)
            self._restore_handlers()
            forward_signal(number, frame, previous)
            return
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        logging.warning(
            "%s: ending after this step. The same signal again ends at once.",
            self.received,
        )

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            # Unless other code has replaced our handler during `fit`.
            if signal.getsignal(number) == self._on_signal:
                # `None` is a handler that was not installed from Python.
                signal.signal(
                    number, signal.SIG_DFL if handler is None else handler
                )
        self._handlers = {}
        _active.discard(self)

    def _leave_to_parent(self) -> None:
        """Lets a forked process wait for what its parent does."""
        handler = WaitForParent()
        for number in self._handlers:
            signal.signal(number, handler)
        self._handlers = {}


class WaitForParent:
    """Handles the signals of a process that was forked during `fit`.

    Ctrl-C, and many schedulers, send a signal to the whole group. A process
    that loads the data must not end then: the training would wait for it
    forever, instead of ending in order. A second signal, such as that of the
    parent which ends its workers, ends the process at once.
    """

    def __init__(self) -> None:
        self._is_warned = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Ends the process, if not by now then later."""
        if self._is_warned:
            forward_signal(number, frame, signal.SIG_DFL)
        self._is_warned = True
        if number != signal.SIGINT:
            end = threading.Timer(GRACE, os._exit, [128 + number])
            end.daemon = True
            end.start()


# Callbacks whose handlers are installed.
_active: "weakref.WeakSet[TerminateOnSignal]" = weakref.WeakSet()


def leave_signals_to_parent() -> None:
    """Lets a forked process end when its parent wants it, not before."""
    for callback in list(_active):
        callback._leave_to_parent()
    _active.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leave_signals_to_parent)


def is_in_fit(model: keras.Model, frame: FrameType | None) -> bool:
    """Returns whether a frame runs inside the `fit` of a model."""
    return any(
        caller.f_code.co_name == "fit" and caller.f_locals.get("self") is model
        for caller, _ in traceback.walk_stack(frame)
    )


def forward_signal(number: int, frame: FrameType | None, handler: Any) -> None:
    """Handles a signal as another handler would have done."""
    if callable(handler):
        handler(number, frame)
    elif handler != signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(signal.Signals(number))
