"""How the devices of a model share a batch, and the case of one device."""

from collections.abc import Callable
import contextlib
from typing import Any
from typing import Protocol

import keras
import tensorflow as tf

from keras_port.training.gradient_result import Batch
from keras_port.training.gradient_result import GradientResult
from keras_port.training.sharing.shard_gradients import compute_batch_gradients
from keras_port.training.sharing.shard_gradients import evaluate_batch

Logs = dict[str, tf.Tensor]
# Records a step: batch, result, `iterations` and learning rate before it.
FinishStep = Callable[[Batch, GradientResult, tf.Tensor, tf.Tensor], Logs]


class Sharing(Protocol):
    """How the devices of a model share a batch."""

    def compute_gradients(
        self, model: keras.Model, batch: Batch
    ) -> GradientResult:
        """Computes loss and gradients of the whole batch."""

    def evaluate(self, model: keras.Model, batch: Batch) -> GradientResult:
        """Computes outputs and loss of a batch in inference."""

    def update_scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the scope in which the optimizer works."""

    def finish_step(
        self,
        finish: FinishStep,
        batch: Batch,
        result: GradientResult,
        iterations: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Logs:
        """Calls `finish` once for the whole batch."""


class OneDevice:
    """Computes the whole batch on one device."""

    def compute_gradients(
        self, model: keras.Model, batch: Batch
    ) -> GradientResult:
        """Runs the batch forward and backward."""
        return compute_batch_gradients(model, batch)

    def evaluate(self, model: keras.Model, batch: Batch) -> GradientResult:
        """Runs the batch forward."""
        return evaluate_batch(model, batch)

    def update_scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns a scope that changes nothing."""
        return contextlib.nullcontext()

    def finish_step(
        self,
        finish: FinishStep,
        batch: Batch,
        result: GradientResult,
        iterations: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Logs:
        """Calls `finish`."""
        return finish(batch, result, iterations, learning_rate)
