"""A Keras model that says what each of its training steps was like."""

from typing import Any

import tensorflow as tf

from keras_port.training.checked_fit_model import CheckedFitModel
from keras_port.training.gradient_result import GradientResult
from keras_port.training.loss_reduction import batch_size_of
from keras_port.training.plain_variables import outside_of_strategies
from keras_port.training.step_log import StepLog
from keras_port.training.step_record import StepRecord


class RecordedModel(CheckedFitModel):
    """Keeps a step's own values, which the logs of Keras have as means only.

    Attributes:
        step_record: The newest batch's loss, and counts, a `StepRecord`.
        step_log: The values of each of the newest steps, a `StepLog`.
    """

    step_record: StepRecord
    step_log: StepLog

    def begin_record(self) -> None:
        """Starts empty, as `compile` does."""
        self.step_record = outside_of_strategies(StepRecord)
        self.step_log = outside_of_strategies(StepLog)

    def record_step(
        self,
        result: GradientResult,
        examples: tf.Tensor,
        before: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> None:
        """Leaves a step's own values for whoever looks between steps.

        Args:
            result: What computing the gradients of the batch has given.
            examples: Number of examples in the batch.
            before: `optimizer.iterations` before it.
            learning_rate: The rate of its update.
        """
        self.step_record.batch_loss.assign(tf.cast(result.loss, tf.float64))
        self.step_record.batches.assign_add(1)
        self.step_log.write(
            before=before,
            step=tf.convert_to_tensor(self.optimizer.iterations),
            loss=result.loss,
            learning_rate=learning_rate,
            gradients=[gradient for gradient, _ in result.grads_and_vars],
            examples=examples,
        )

    def update_metrics(
        self,
        x: Any,
        y: Any,
        result: GradientResult,
        sample_weight: Any,
        *,
        examples: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """Adds one batch to the metrics and returns their running values."""
        if examples is None:
            examples = batch_size_of(x)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(result.loss, sample_weight=examples)
        logs: dict[str, tf.Tensor] = self.compute_metrics(
            x, y, result.outputs, sample_weight=sample_weight
        )
        return logs

    @property
    def batch_loss(self) -> float:
        """Loss of the newest training batch alone."""
        return float(self.step_record.batch_loss)

    @property
    def batches_seen(self) -> int:
        """Batches trained on so far."""
        return int(self.step_record.batches)

    @property
    def skipped_updates(self) -> int:
        """Updates left out so far because a gradient was not finite."""
        return int(self.step_record.skipped_updates)
