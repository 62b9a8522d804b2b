"""Evaluation every so many steps."""

from typing import Any

import keras

from keras_port._support import check_integer
from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import get_step
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.training import Evaluator


class StepEvaluation(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates the model every `eval_freq` steps without affecting training.

    Stock `fit` validates at the end of an epoch. This callback evaluates
    during the epoch and leaves the training as it would be without it (see
    `training.Evaluator`). Every evaluation reaches

    - the callbacks that are an `EvaluationListener`, such as
      `StepEarlyStopping` and `StepCheckpoint`, in any order of the list;
    - the history: lists of `val_loss`, `val_accuracy` and so on, one value per
      evaluation, and `val_step` with their steps;
    - the logs at the end of the epoch, with the newest values, for stock
      callbacks that come after this one in the list.

    A step is one update of the optimizer, `optimizer.iterations`. With
    `steps_per_execution` the evaluation runs at the first chance at or after
    every multiple of `eval_freq`, and is recorded with the step at which it
    ran.

    Args:
        data: Data to evaluate on, as for `training.Evaluator`: an
            `ImageSplit`, arrays `(x, y)`, or a finite `tf.data.Dataset`.
        eval_freq: Steps between evaluations. Defaults to 100.
        prefix: Prefix of the names of the results: `"val"` makes
            `val_accuracy`. Two evaluations in one `fit` need two prefixes.
            Defaults to `"val"`.
        batch_size: Examples in one slice. It changes speed and memory, not
            the results. Defaults to 2500.

    Raises:
        ValueError: If `eval_freq` or `batch_size` is not a positive integer;
            at the start of training, if the data does not fit the model; and
            if `fit` itself validates under the same names.

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
        self._every = Every(self.eval_freq)

    def set_model(self, model: keras.Model) -> None:
        """Joins the channel of the `fit` that is starting."""
        super().set_model(model)
        get_channel(model).sources.append(self)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the data and announces the results, before the first step."""
        self._history = {}
        self._every.restart(get_step(self.model))
        self._evaluator = Evaluator(
            self.model, self.data, batch_size=self.batch_size
        )
        names = [f"{self.prefix}_{n}" for n in self._evaluator.metric_names()]
        get_channel(self.model).announce(self.prefix, names)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Evaluates if a multiple of `eval_freq` has been reached."""
        if self._every.is_due(get_step(self.model)):
            self.evaluate()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Passes the newest results to the callbacks after this one."""
        if logs is not None:
            logs.update(self._get_newest())

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leaves one value per evaluation in the history."""
        self._write_history()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Rejects validation by `fit` under the same names."""
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
        results = {
            f"{self.prefix}_{name}": value
            for name, value in self._evaluator.evaluate().items()
        }
        record = {f"{self.prefix}_step": step, **results}
        for name, value in record.items():
            self._history.setdefault(name, []).append(value)
        self._write_history()
        get_channel(self.model).publish(step, results)
        return results

    def get_state(self) -> dict[str, Any]:
        """Returns the state that a resumed training needs."""
        return {"history": self._history, "newest": self._get_newest()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        self._history = {k: list(v) for k, v in state["history"].items()}
        self._every.restart(get_step(self.model))

    def _get_newest(self) -> dict[str, float]:
        """Returns the results of the newest evaluation, if there is one."""
        return {
            name: values[-1]
            for name, values in self._history.items()
            if name != f"{self.prefix}_step"
        }

    def _write_history(self) -> None:
        # Replaces whole lists, because Keras' `History` appends the logs of
        # the end of an epoch to them. For that reason the values are kept
        # here as well.
        self.model.history.history.update(
            {name: list(values) for name, values in self._history.items()}
        )
