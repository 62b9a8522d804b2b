"""Early stopping by evaluations, which restores the best weights always."""

from typing import Any

from absl import logging
import numpy as np

from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.monitor import Mode
from keras_port.callbacks.monitor import Monitor


class StepEarlyStopping(EvaluationListener):
    """Stops training when validation stops improving, and takes the best back.

    The course's lesson 3 counts validations: after 20 in a row that are not
    strictly better than the best so far, it stops. This callback does the same
    and then restores the weights of the best evaluation, for every reason for
    which the training ended, not only when it stopped by itself
    (keras#12511).

    Args:
        monitor: Result of the evaluations to watch. Defaults to
            `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"` to tell it from the name; a name
            that does not tell is refused. Defaults to `"auto"`.
        patience: Evaluations, not steps, in a row that may pass without
            improvement; the last of them stops the training. With 0, as with
            1, the first one does. Defaults to 20.
        min_delta: Improvement that counts, in the unit of the result: a value
            must be better by more than this. Defaults to 0.
        baseline: A value that must be beaten for the patience to start anew.
            The best weights are those of the best evaluation all the same.
            Defaults to `None`.
        restore_best_weights: Whether to restore them. Defaults to `True`.

    Attributes:
        best: Best value so far, `None` before there is one.
        best_step: Its step.
        wait: Evaluations since the last improvement.
        stopped_step: Step at which this callback stopped the training, `None`
            if it did not.

    Raises:
        ValueError: For a negative `patience`, an unknown direction, and, before
            the first step, for a `monitor` that the evaluations do not give.

    Example:

    >>> stopping = StepEarlyStopping(patience=2)
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[stopping, StepEvaluation(splits.validation)],
    ...     verbose=0,
    ... )
    """

    def __init__(
        self,
        *,
        monitor: str = "val_accuracy",
        mode: Mode = "auto",
        patience: int = 20,
        min_delta: float = 0.0,
        baseline: float | None = None,
        restore_best_weights: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(patience, int) or patience < 0:
            raise ValueError(
                "`patience` must be an integer of 0 or more, in evaluations. "
                f"Received: patience={patience}"
            )
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.best: float | None
        self.best_step: int | None
        self.wait: int
        self.stopped_step: int | None
        self._best_weights: list[np.ndarray] | None
        self._forget()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets an earlier training with the same object (keras#20521)."""
        super().on_train_begin(logs)
        self._forget()

    def on_evaluation_names(self, names: list[str]) -> None:
        """Refuses a `monitor` that will never come."""
        self.monitor.check_available(names)

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Keeps the weights if better, and counts if not."""
        if self.monitor.name not in logs:
            return  # Another evaluation's results.
        value = logs[self.monitor.name]
        if self.monitor.is_better(value, self.best):
            self.best, self.best_step = value, step
            if self.restore_best_weights:
                self._best_weights = self.model.get_weights()
            if self._beats_baseline(value):
                self.wait = 0
                return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_step = step
            self.model.stop_training = True
            logging.info("Step %d: early stopping. %s", step, self._verdict())

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Restores the best weights, whoever ended the training."""
        if self.baseline is not None and not self._beats_baseline(self.best):
            logging.warning(
                "The baseline %s=%g was not reached. %s",
                self.monitor.name,
                self.baseline,
                self._verdict(),
            )
        self.restore()

    def restore(self) -> None:
        """Gives the model the weights of the best evaluation, if any."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    def get_state(self) -> dict[str, Any]:
        """Returns what a resumed training must know of this callback."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "wait": self.wait,
            "stopped_step": self.stopped_step,
            "best_weights": self._best_weights,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self.best = state["best"]
        self.best_step = state["best_step"]
        self.wait = state["wait"]
        self.stopped_step = state["stopped_step"]
        self._best_weights = state["best_weights"]

    def _forget(self) -> None:
        self.best = None
        self.best_step = None
        self.wait = 0
        self.stopped_step = None
        self._best_weights = None

    def _beats_baseline(self, value: float | None) -> bool:
        if self.baseline is None:
            return True
        return value is not None and self.monitor.is_better(
            value, self.baseline
        )

    def _verdict(self) -> str:
        if self.best is None:
            return f"No finite {self.monitor.name} has been seen."
        return (
            f"The best {self.monitor.name} was {self.best:.6g} at step "
            f"{self.best_step}."
        )
