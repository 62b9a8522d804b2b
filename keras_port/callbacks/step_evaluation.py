"""Evaluation every so many steps."""

from collections.abc import Iterator
import contextlib
from typing import Any
import warnings

import keras
import tensorflow as tf

from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import check_optimizer
from keras_port.callbacks._steps import get_step
from keras_port.callbacks._train_function import unwrap_train_function
from keras_port.callbacks._train_function import wrap_train_function
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.training import Evaluator


class StepEvaluation(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates the model every `eval_freq` steps without affecting training.

    Stock `fit` validates at the end of an epoch. This callback evaluates
    during the epoch and leaves the training as it would be without it (see
    `training.Evaluator`). Every evaluation reaches, in any order of the list
    of callbacks,

    - the callbacks that are an `EvaluationListener`, such as
      `StepEarlyStopping` and `StepCheckpoint`;
    - the logs that Keras passes to every callback, at the end of the batch
      after which the evaluation ran and from then to the end of the epoch;
    - the history: lists of `val_loss`, `val_accuracy` and so on, one value per
      evaluation, and `val_step` with their steps. `results` is the same as a
      table, also for a copy of this callback.

    A step is one update of the optimizer, `optimizer.iterations`. With
    `steps_per_execution` the evaluation runs at the first chance at or after
    every multiple of `eval_freq`, and is recorded with the step at which it
    ran.

    If the optimizer keeps moving averages of the weights (`use_ema=True`), the
    averages are evaluated, because `fit` leaves them in the model. Listeners
    see them, too. `keras.callbacks.SwapEMAWeights` is not needed.

    Args:
        data: Data to evaluate on, as for `training.Evaluator`: an
            `ImageSplit`, arrays `(x, y)`, or a finite `tf.data.Dataset`.
        eval_freq: Steps between evaluations. Defaults to 100.
        prefix: Prefix of the names of the results: `"val"` makes
            `val_accuracy`. Two evaluations in one `fit` need two prefixes.
            Defaults to `"val"`.
        batch_size: Examples in one slice. It changes speed and memory, not
            the results. Defaults to 2500.

    Attributes:
        results: Lists of the steps and of the results, one element per
            evaluation of the newest `fit`.

    Raises:
        ValueError: If `eval_freq` or `batch_size` is not a positive integer;
            at the start of training, if the data does not fit the model or
            the model has no optimizer; and if `fit` itself validates under the
            same names.

    A training that ends before its first evaluation gives a `UserWarning`.

    Example:

    >>> evaluation = StepEvaluation(splits.validation, eval_freq=2)
    >>> history = model.fit(
    ...     batches, steps_per_epoch=4, callbacks=[evaluation], verbose=0
    ... )
    >>> history.history["val_step"]
    [2, 4]
    """

    def __init__(
        self,
        data: Any,
        *,
        eval_freq: int = 100,
        prefix: str = "val",
        batch_size: int = 2500,
    ) -> None:
        super().__init__()
        self.data = data
        self.eval_freq = check_integer(
            "eval_freq", eval_freq, note=", in steps"
        )
        self.prefix = prefix
        self.batch_size = check_integer("batch_size", batch_size)
        self._evaluator: Evaluator | None = None
        self._history: dict[str, list[float]] = {}
        self._newest: dict[str, float] = {}
        # The means of the metrics in the epoch, before `fit` validates.
        self._running: dict[str, Any] = {}
        self._logs_are_means = False
        self._first_step: int | None = None
        self._every = Every(self.eval_freq)

    def set_model(self, model: keras.Model) -> None:
        """Joins the channel of the `fit` that is starting."""
        super().set_model(model)
        get_channel(model).sources.append(self)

    def __repr__(self) -> str:
        return format_call(self, "eval_freq", "prefix")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the data and announces the results, before the first step."""
        check_optimizer(self.model, type(self).__name__)
        self._history, self._newest = {}, {}
        self._running = {}
        self._first_step = None
        self._every.restart(get_step(self.model))
        self._evaluator = Evaluator(
            self.model, self.data, batch_size=self.batch_size
        )
        names = [f"{self.prefix}_{n}" for n in self._evaluator.metric_names()]
        get_channel(self.model).announce(self.prefix, names)
        function = wrap_train_function(self.model)
        if function is not None:
            function.after.append(self._add_results)

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Forgets the results that the logs of the last epoch have shown."""
        # A stock callback that counts epochs without improvement would take
        # the same value again for a new one.
        self._newest, self._running = {}, {}

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Remembers the first step; a resumed training is restored by now."""
        if self._first_step is None:
            self._first_step = get_step(self.model)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Evaluates if a multiple of `eval_freq` has been reached."""
        # In `fit` this has happened in the `train_function` just now; in a
        # loop of one's own it happens here.
        if self._every.is_due(get_step(self.model)):
            self.evaluate()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Passes the results of this epoch on, and the means of its metrics.

        Keras replaces the logs of the last step by the metrics' means if both
        have the same names. With the results among them they have not.
        """
        if logs is not None:
            logs.update(self._running or self._get_means())
            logs.update(self._newest)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leaves one value per evaluation in the history."""
        unwrap_train_function(self.model)
        self.write_history()
        first, last = self._first_step, get_step(self.model)
        if first is not None and last > first and not self._history:
            warnings.warn(
                f"No evaluation: the training ended at step {last:,}, and "
                f"`eval_freq={self.eval_freq}` steps had not passed. Give "
                "`StepEvaluation` a smaller `eval_freq`, or train longer.",
                stacklevel=2,
            )

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the means, and rejects validation under the same names."""
        self._running = self._get_means()
        if self.prefix == "val":
            raise ValueError(
                "`fit` validates at the end of the epoch and `StepEvaluation` "
                "during it, both as `val_...`. Leave out `validation_data` and "
                "`validation_split`, or give the callback another prefix: "
                '`StepEvaluation(data, prefix="step_val")`.'
            )

    def evaluate(self) -> dict[str, float]:
        """Evaluates now, publishes the results and returns them by name.

        Raises:
            RuntimeError: If `fit` has not started.
        """
        if self._evaluator is None:
            raise RuntimeError(
                "`evaluate` needs the model that `fit` passes to its "
                "callbacks, and `fit` has not started. To evaluate a model "
                "without `fit`, use `training.Evaluator(model, data)`."
            )
        step = get_step(self.model)
        with use_averages(self.model):
            results = {
                f"{self.prefix}_{name}": value
                for name, value in self._evaluator.evaluate().items()
            }
            record = {f"{self.prefix}_step": step, **results}
            for name, value in record.items():
                self._history.setdefault(name, []).append(value)
            self._newest = results
            self.write_history()
            get_channel(self.model).publish(step, results)
        return results

    @property
    def results(self) -> dict[str, list[float]]:
        """All evaluations as a table: a list per result, and their steps.

        `pandas.DataFrame(evaluation.results)` shows it.
        """
        step = f"{self.prefix}_step"
        table = {"step": list(self._history.get(step, []))}
        for name, values in self._history.items():
            if name != step:
                table[name] = list(values)
        return table

    @property
    def state_name(self) -> str:
        """Tells this evaluation from others in a snapshot."""
        return f"StepEvaluation({self.prefix})"

    def get_state(self) -> dict[str, Any]:
        """Returns the state that a resumed training needs."""
        return {"history": self._history, "newest": self._newest}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        self._history = {k: list(v) for k, v in state["history"].items()}
        self._newest = dict(state["newest"])
        self._every.restart(get_step(self.model))

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to one `fit` and cannot be copied."""
        return {**super().__getstate__(), "_evaluator": None}

    def _add_results(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Evaluates if it is time, and returns the logs with the results."""
        if self._every.is_due(get_step(self.model)):
            means = self.model.get_metrics_result()
            self._logs_are_means = set(logs) == set(means)
            self.evaluate()
        return {**logs, **self._newest}

    def _get_means(self) -> dict[str, Any]:
        """Returns what Keras puts in the place of the logs of the last step."""
        if not self._newest or not self._logs_are_means:
            return {}
        means: dict[str, Any] = {}
        for name, mean in self.model.get_metrics_result().items():
            means.update(mean if isinstance(mean, dict) else {name: mean})
        return {
            name: float(mean)
            if tf.is_tensor(mean) and not mean.shape.rank
            else mean
            for name, mean in means.items()
        }

    def write_history(self) -> None:
        """Writes one value for every evaluation to the model's history."""
        # Replaces whole lists, because Keras' `History` appends the logs of
        # the end of an epoch to them. For that reason the values are kept
        # here as well.
        history = getattr(self.model, "history", None)
        if history is not None:
            history.history.update(
                {name: list(values) for name, values in self._history.items()}
            )


@contextlib.contextmanager
def use_averages(model: keras.Model) -> Iterator[None]:
    """Puts the optimizer's averages of the weights in their place.

    Without effect unless the optimizer was made with `use_ema=True`.
    """
    optimizer: Any = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(inner, "use_ema", False):
        yield
        return
    variables = model.trainable_variables
    weights = [variable.numpy() for variable in variables]
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)
