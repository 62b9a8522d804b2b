"""Evaluation each so many steps."""

from typing import Any

import keras

from keras_port._support import check_integer
from keras_port.callbacks.evaluation_listener import channel_of
from keras_port.training import Evaluator


class StepEvaluation(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates the model each `eval_freq` steps, as if nothing had happened.

    Stock `fit` validates at the end of an epoch. This callback evaluates in
    between and leaves the training as it would be without it (see
    `training.Evaluator`). Each evaluation reaches

    - the callbacks that are an `EvaluationListener`, such as
      `StepEarlyStopping` and `StepCheckpoint`, in any order of the list;
    - the history: lists of `val_loss`, `val_accuracy` and so on, one value per
      evaluation, and `val_step` with their steps;
    - the logs of the epoch's end, with the newest values, for stock callbacks
      that stand behind this one in the list.

    A step is one update of the optimizer, `optimizer.iterations`. With
    `steps_per_execution` the evaluation comes at the first chance at or after
    each multiple of `eval_freq`, and is recorded with the step it was made at.

    Args:
        data: What to evaluate on, as for `training.Evaluator`: an
            `ImageSplit`, arrays `(x, y)`, or a finite `tf.data.Dataset`.
        eval_freq: Steps between evaluations. Defaults to 100.
        prefix: Stands before the names of the results: `"val"` makes
            `val_accuracy`. Two evaluations in one `fit` need two prefixes.
            Defaults to `"val"`.
        batch_size: Examples in one slice; it changes speed and memory, not
            the results. Defaults to 2500.

    Raises:
        ValueError: If `eval_freq` is not a positive integer; at the start of
            training, for data that does not fit the model; and when `fit`
            validates by itself under the same name.

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
        check_integer("eval_freq", eval_freq, note=", in steps")
        self.data = data
        self.eval_freq = eval_freq
        self.prefix = prefix
        self.batch_size = batch_size
        self._evaluation: Evaluator | None = None
        self._newest: dict[str, float] = {}
        self._history: dict[str, list[float]] = {}
        self._last_step = 0

    def set_model(self, model: keras.Model) -> None:
        """Joins the channel of the `fit` that is starting."""
        super().set_model(model)
        channel_of(model).sources.append(self)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks at the data and announces the results, before any step."""
        self._newest = {}
        self._history = {}
        self._last_step = self._step()
        self._evaluation = Evaluator(
            self.model, self.data, batch_size=self.batch_size
        )
        names = [f"{self.prefix}_{n}" for n in self._evaluation.metric_names()]
        channel_of(self.model).announce(self.prefix, names)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Evaluates if a multiple of `eval_freq` has been reached."""
        # Not `batch`: with `steps_per_execution` it is wrong, and it starts
        # again with each epoch and each `fit`.
        step = self._step()
        if step // self.eval_freq > self._last_step // self.eval_freq:
            self.evaluate()
        self._last_step = step

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Shows the newest results to the callbacks behind this one."""
        if logs is not None:
            logs.update(self._newest)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leaves one value per evaluation in the history."""
        self._write_history()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Refuses that `fit` validates under the same names."""
        if self.prefix == "val":
            raise ValueError(
                "`fit` validates at the end of the epoch and `StepEvaluation` "
                "during it, both as `val_...`. Leave `validation_data` and "
                "`validation_split` out, or give the callback another prefix: "
                '`StepEvaluation(data, prefix="step_val")`.'
            )

    def evaluate(self) -> dict[str, float]:
        """Evaluates now, publishes the results and returns them by name."""
        assert self._evaluation is not None, "`fit` has not started."
        step = self._step()
        self._newest = {
            f"{self.prefix}_{name}": value
            for name, value in self._evaluation().items()
        }
        record = {f"{self.prefix}_step": step, **self._newest}
        for name, value in record.items():
            self._history.setdefault(name, []).append(value)
        self._write_history()
        channel_of(self.model).publish(step, self._newest)
        return dict(self._newest)

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed training must know of this callback."""
        return {"history": self._history, "newest": self._newest}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self._history = {k: list(v) for k, v in state["history"].items()}
        self._newest = dict(state["newest"])
        self._last_step = self._step()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _write_history(self) -> None:
        # Whole lists, because `History` adds the logs of an epoch's end.
        self.model.history.history.update(
            {name: list(values) for name, values in self._history.items()}
        )
