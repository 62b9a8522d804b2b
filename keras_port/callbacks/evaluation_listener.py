"""Passes the results of evaluations to other callbacks, in any order."""

from typing import Any

import keras


class EvaluationListener(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that receives the results of every `StepEvaluation`.

    Subclass it and override `on_evaluation_end`. The order of the callbacks in
    the list does not matter.

    Example:

    >>> class Print(EvaluationListener):
    ...     def on_evaluation_end(self, step, logs):
    ...         print(step, sorted(logs))
    """

    def set_model(self, model: keras.Model) -> None:
        """Joins the channel of the `fit` that is starting."""
        super().set_model(model)
        # Keras calls `set_model` of all callbacks before the first
        # `on_train_begin`.
        get_channel(model).listeners.append(self)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Rejects a training without any `StepEvaluation`."""
        if not get_channel(self.model).sources:
            name = type(self).__name__
            raise ValueError(
                f"`{name}` acts on evaluations, but there is no "
                "`StepEvaluation` among the callbacks. Use "
                f"`callbacks=[StepEvaluation(data, eval_freq=100), {name}(...)"
                "]`, in any order."
            )

    def on_evaluation_names(self, names: list[str]) -> None:
        """Called before the first step with the names of the results."""

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Called after every evaluation.

        Args:
            step: Number of optimizer updates so far.
            logs: Results by name, such as `val_accuracy`.
        """


class EvaluationChannel:
    """Connects the evaluating and the listening callbacks of one `fit`.

    Keras offers no connection between callbacks, and `logs` reach only the
    callbacks that come later in the list. So every callback finds this object
    through the model, by `get_channel`, in its `set_model`:

    1. `set_model`: evaluations add themselves to `sources`, listeners to
       `listeners`.
    2. `on_train_begin`: every evaluation announces the names of its results.
    3. During training: every evaluation publishes its results.

    Attributes:
        sources: The evaluations.
        listeners: The callbacks that receive the results.
        signal: Name of the signal that ends this `fit`, or `None`.
        saver: The callback that saves and resumes this `fit`, or `None`.
    """

    def __init__(self) -> None:
        self.sources: list[keras.callbacks.Callback] = []
        self.listeners: list[EvaluationListener] = []
        self.signal: str | None = None
        self.saver: keras.callbacks.Callback | None = None
        self._names: dict[str, list[str]] = {}

    def __reduce__(self) -> Any:
        """Pickles as an empty channel: a copy of a history has no `fit`."""
        return EvaluationChannel, ()

    def announce(self, source: str, names: list[str]) -> None:
        """Tells the listeners which results to expect, before the first step.

        Args:
            source: Prefix of the evaluation, such as `"val"`.
            names: Names of its results.
        """
        if source in self._names:
            raise ValueError(
                f"Two evaluations have the prefix {source!r}, so their results "
                "would have the same names. Give each `StepEvaluation` its own "
                "`prefix`."
            )
        self._names[source] = names
        if len(self._names) == len(self.sources):
            all_names = [n for names in self._names.values() for n in names]
            for listener in self.listeners:
                listener.on_evaluation_names(all_names)

    def is_result(self, name: str) -> bool:
        """Tells whether an evaluation has announced a result of this name."""
        return any(name in names for names in self._names.values())

    def publish(self, step: int, logs: dict[str, float]) -> None:
        """Passes the results of one evaluation to all listeners."""
        for listener in self.listeners:
            listener.on_evaluation_end(step, dict(logs))


def get_channel(model: keras.Model) -> EvaluationChannel:
    """Returns the channel of the model's current `fit`.

    The channel is an attribute of the `History` object. Every `fit` creates a
    new `History` and sets `model.history` before it calls `set_model` of the
    callbacks, so the attribute has the lifetime of one `fit`: a training that
    ended with an exception leaves nothing to the next one.
    """
    owner = getattr(model, "history", None) or model
    # Not in a dictionary of this module: the channel refers to callbacks and
    # they to the model, so the dictionary would keep every model in memory.
    channel: EvaluationChannel = vars(owner).setdefault(
        "_keras_port_channel", EvaluationChannel()
    )
    return channel
