"""What callbacks do where Keras has no method for it."""

from collections.abc import Callable
from typing import Any
import weakref

import keras

Logs = dict[str, Any]


class TrainFunction:
    """Stands in for the `train_function` of a model during one `fit`.

    Keras calls `on_train_batch_end` of the callbacks one after the other, so
    what a callback adds to the logs reaches only those that come later in the
    list. What is added here, before Keras sees the logs, reaches all.

    Args:
        model: The model in training.
        function: The function that Keras or the model has made.

    Attributes:
        function: As given.
        before: Called with the iterator of batches before a call. If one
            returns logs, no step is made.
        after: Called with the logs after a call; they return the logs, perhaps
            with more in them.
    """

    def __init__(
        self, model: keras.Model, function: Callable[[Any], Logs]
    ) -> None:
        self.function = function
        self.before: list[Callable[[Any], Logs | None]] = []
        self.after: list[Callable[[Logs], Logs]] = []
        self._model = weakref.ref(model)
        # Every `fit` makes a new one.
        self._history = weakref.ref(model.history)

    def belongs_to(self, model: keras.Model) -> bool:
        """Tells whether the `fit` that made this is still running."""
        return self._history() is getattr(model, "history", None)

    def __call__(self, iterator: Any) -> Logs:
        """Runs the next steps."""
        model = self._model()
        if model is None or not self.belongs_to(model):
            # Left over from a `fit` that raised an exception.
            return self.function(iterator)
        for start in self.before:
            logs = start(iterator)
            if logs is not None:
                return logs
        logs = self.function(iterator)
        for finish in self.after:
            logs = finish(logs)
        return logs


def wrap_train_function(model: keras.Model) -> TrainFunction | None:
    """Returns what stands in for `model.train_function`, one for every `fit`.

    To be called in `on_train_begin`. `None` in a loop of one's own, which has
    no such function.
    """
    current = getattr(model, "train_function", None)
    if isinstance(current, TrainFunction):
        if current.belongs_to(model):
            return current
        current = current.function
    if current is None or getattr(model, "history", None) is None:
        return None
    wrapped = TrainFunction(model, current)
    model.train_function = wrapped
    return wrapped


def unwrap_train_function(model: keras.Model) -> None:
    """Gives a model its own `train_function` back."""
    current = getattr(model, "train_function", None)
    if isinstance(current, TrainFunction):
        model.train_function = current.function


def call_before_first_epoch(
    model: keras.Model, function: Callable[[], None]
) -> None:
    """Calls a function once, after every `on_train_begin`, before any epoch.

    To be called in `on_train_begin`. Keras has no method of callbacks for it,
    but puts its `History` after all of them. The function is not called in a
    loop of one's own without a `History`.

    Args:
        model: The model in training.
        function: The function.
    """
    history = getattr(model, "history", None)
    if history is None:
        return
    begin = history.on_train_begin

    def begin_and_call(logs: Logs | None = None) -> None:
        del history.on_train_begin  # The method of its class is there again.
        begin(logs)
        function()

    history.on_train_begin = begin_and_call
