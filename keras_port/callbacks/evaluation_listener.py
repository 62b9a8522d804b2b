"""How evaluations reach the callbacks, in any order of the list."""

import keras


class EvaluationChannel:
    """Joins the evaluating callbacks and the listening ones of one `fit`."""

    def __init__(self) -> None:
        self.sources: list[keras.callbacks.Callback] = []
        self.listeners: list[EvaluationListener] = []
        self._names: dict[str, list[str]] = {}

    def announce(self, source: str, names: list[str]) -> None:
        """Tells the listeners, before the first step, what will come."""
        if source in self._names:
            raise ValueError(
                f"Two evaluations have the prefix {source!r}, and their results "
                "could not be told apart. Give each `StepEvaluation` a `prefix`."
            )
        self._names[source] = names
        if len(self._names) == len(self.sources):
            everything = [n for some in self._names.values() for n in some]
            for listener in self.listeners:
                listener.on_evaluation_names(everything)

    def publish(self, step: int, logs: dict[str, float]) -> None:
        """Gives one evaluation to each listener."""
        for listener in self.listeners:
            listener.on_evaluation_end(step, dict(logs))


# Each `fit` makes a new `History`, and gives it to the model before it gives
# the model to the callbacks. So it stands for the `fit`: a training that ended
# in an exception leaves nothing to the next one.
CHANNEL = "_keras_port_channel"


def channel_of(model: keras.Model) -> EvaluationChannel:
    """Returns the channel of the model's running `fit`."""
    key = getattr(model, "history", None) or model
    # On the object itself: the channel holds callbacks and they the model, so
    # a dictionary of this module would keep every model for ever.
    channel: EvaluationChannel = vars(key).setdefault(
        CHANNEL, EvaluationChannel()
    )
    return channel


class EvaluationListener(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that hears of each `StepEvaluation`.

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
        # All callbacks get the model before the first `on_train_begin`.
        channel_of(model).listeners.append(self)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Refuses a training in which nothing would ever be heard."""
        if not channel_of(self.model).sources:
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
        """Called after each evaluation.

        Args:
            step: Updates of the optimizer so far.
            logs: The results by name, such as `val_accuracy`.
        """
