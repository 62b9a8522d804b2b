"""Early stopping by evaluations that always restores the best weights."""

from typing import Any

from absl import logging
import numpy as np

from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port.callbacks._monitor import Mode
from keras_port.callbacks._monitor import Monitor
from keras_port.callbacks.evaluation_listener import EvaluationListener


class StepEarlyStopping(EvaluationListener):
    """Stops when validation stops improving, and restores the best weights.

    Lesson 3 of the course counts validations: after 20 in a row that are not
    strictly better than the best so far, it stops. This callback does the same
    and then restores the weights of the best evaluation. It restores them
    however the training ended, not only when it stopped the training itself
    (keras#12511).

    Args:
        monitor: Result of the evaluations to watch. Defaults to
            `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"` to infer it from the name, which
            raises an error if it is not clear. Defaults to `"auto"`.
        patience: Number of evaluations, not steps, in a row without
            improvement after which training stops. 0 and 1 both stop at the
            first one. Defaults to 20.
        min_delta: Smallest improvement that counts, in the unit of the result:
            a value must be better by more than this. Defaults to 0.
        baseline: Value that must be beaten to reset the patience. The best
            weights are those of the best evaluation in any case. Defaults to
            `None`.
        restore_best_weights: Whether to restore the best weights. Defaults to
            `True`.

    Attributes:
        best: Best value so far, `None` before the first one.
        best_step: Step of the best value.
        wait: Number of evaluations since the last improvement.
        stopped_step: Step at which this callback stopped the training, `None`
            if it did not.

    Raises:
        ValueError: If `patience` is negative or the direction is unknown; and,
            before the first step, if the evaluations do not produce `monitor`.

    Example:

    >>> stopping = StepEarlyStopping(patience=2)
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[
    ...         stopping,
    ...         StepEvaluation(splits.validation, eval_freq=2),
    ...     ],
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
        self.monitor = monitor
        self.patience = check_integer(
            "patience", patience, minimum=0, note=", in evaluations"
        )
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self._monitor = Monitor(monitor, mode, min_delta)
        self.best: float | None
        self.best_step: int | None
        self.wait: int
        self.stopped_step: int | None
        self._best_weights: list[np.ndarray] | None
        self._reset()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forgets an earlier training with the same object (keras#20521)."""
        super().on_train_begin(logs)
        self._reset()

    def __repr__(self) -> str:
        return format_call(self, "monitor", "patience", "best", "best_step")

    def on_evaluation_names(self, names: list[str]) -> None:
        """Rejects a `monitor` that no evaluation produces."""
        self._monitor.check_available(names)

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Keeps the weights if they are better, otherwise counts."""
        if self.monitor not in logs:
            return  # The results of another evaluation.
        value = logs[self.monitor]
        if self._monitor.is_better(value, self.best):
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
            logging.info(
                "Step %d: early stopping. %s", step, self._describe_best()
            )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Restores the best weights, however the training ended."""
        if self.baseline is not None and not self._beats_baseline(self.best):
            logging.warning(
                "The baseline %s=%g was not reached. %s",
                self.monitor,
                self.baseline,
                self._describe_best(),
            )
        self.restore()

    def restore(self) -> None:
        """Sets the model's weights to those of the best evaluation, if any."""
        if self._best_weights is not None:
            self.model.set_weights(self._best_weights)

    @property
    def state_name(self) -> str:
        """Tells this callback from others in a snapshot."""
        return f"StepEarlyStopping({self.monitor})"

    def get_state(self) -> dict[str, Any]:
        """Returns the state that a resumed training needs."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "wait": self.wait,
            "stopped_step": self.stopped_step,
            "best_weights": self._best_weights,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        weights = state["best_weights"]
        if weights is not None and self.model is not None:
            here = [one.shape for one in self.model.get_weights()]
            there = [one.shape for one in weights]
            if here != there:
                raise ValueError(
                    f"its best weights have the shapes {there}, and the model "
                    f"has {here}"
                )
        self.best = state["best"]
        self.best_step = state["best_step"]
        self.wait = state["wait"]
        self.stopped_step = state["stopped_step"]
        self._best_weights = weights
        if self.wait < self.patience:
            self.stopped_step = None  # The patience is longer now.

    def _reset(self) -> None:
        self.best = None
        self.best_step = None
        self.wait = 0
        self.stopped_step = None
        self._best_weights = None

    def _beats_baseline(self, value: float | None) -> bool:
        if self.baseline is None:
            return True
        return value is not None and self._monitor.is_better(
            value, self.baseline
        )

    def _describe_best(self) -> str:
        if self.best is None:
            return f"No {self.monitor} was finite."
        return (
            f"The best {self.monitor} was {self.best:.6g} at step "
            f"{self.best_step}."
        )
