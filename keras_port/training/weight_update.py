"""From the gradients of a batch to changed weights."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import replica_context
from keras_port.training.gradient_accumulator import GradientAccumulator
from keras_port.training.loss_scaling import apply_unscaled
from keras_port.training.loss_scaling import scales_loss
from keras_port.training.step_record import StepRecord


class WeightUpdate:
    """Accumulates gradients, limits their norm, and applies them.

    In this order, `k` batches are limited, decayed and counted as one batch of
    all their examples would be (keras#19990).

    Args:
        record: Where updates that were left out are counted.
        global_clipnorm: Upper limit of the norm of all gradients together, or
            `None` for no limit.
        accumulation_steps: Batches for one update, 1 or more.
        average: Whether the gradients of these batches are averaged, or added.
    """

    def __init__(
        self,
        record: StepRecord,
        *,
        global_clipnorm: float | None,
        accumulation_steps: int,
        average: bool,
    ) -> None:
        self._record = record
        self._global_clipnorm = global_clipnorm
        self._accumulation_steps = accumulation_steps
        self._average = average
        self._accumulator: GradientAccumulator | None = None

    def run(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Changes the variables, in each `accumulation_steps`-th call."""
        context = replica_context()
        if context is not None:
            self._run_on_replica(context, optimizer, gradients, variables)
            return
        if self._accumulation_steps == 1:
            self._apply(optimizer, gradients, variables)
            return
        self._accumulator_of(variables).add(
            gradients, lambda total: self._apply(optimizer, total, variables)
        )

    def _run_on_replica(
        self,
        context: Any,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Changes the variables from inside of `Strategy.run`."""
        if self._accumulation_steps > 1:
            raise ValueError(
                "`gradient_accumulation_steps` works in `fit`, not in a loop "
                "of your own with `Strategy.run`: an update may not depend on "
                "a condition there (keras#20763)."
            )
        pairs = present_pairs(gradients, variables)
        present = self._clipped([gradient for gradient, _ in pairs])
        # Keras adds up what the replicas give, and all give the same.
        parts = [one / context.num_replicas_in_sync for one in present]
        moved = [variable for _, variable in pairs]
        if scales_loss(optimizer):
            apply_unscaled(optimizer, parts, moved)
        else:
            optimizer.apply(parts, moved)

    def variables(self, weights: Sequence[keras.Variable]) -> list[tf.Variable]:
        """Returns the gradients that wait for more batches, and their count.

        Args:
            weights: The trainable variables.
        """
        if self._accumulation_steps == 1:
            return []
        accumulator = self._accumulator_of(weights)
        return [accumulator.count, *accumulator.sums]

    def _accumulator_of(
        self, variables: Sequence[keras.Variable]
    ) -> GradientAccumulator:
        if self._accumulator is None:
            # Out of the graph that is being built, as a step may be.
            with tf.init_scope():
                self._accumulator = GradientAccumulator(
                    variables,
                    steps=self._accumulation_steps,
                    average=self._average,
                )
        return self._accumulator

    def _apply(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        pairs = present_pairs(gradients, variables)
        present = self._clipped([gradient for gradient, _ in pairs])
        moved = [variable for _, variable in pairs]
        if scales_loss(optimizer):
            skipped = apply_unscaled(optimizer, present, moved)
            self._record.skipped_updates.assign_add(tf.cast(skipped, tf.int64))
        else:
            optimizer.apply(present, moved)

    def _clipped(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        if self._global_clipnorm is None:
            return gradients
        clipped: list[tf.Tensor]
        clipped, _ = tf.clip_by_global_norm(gradients, self._global_clipnorm)
        return clipped


def present_pairs(
    gradients: Sequence[tf.Tensor | None], variables: Sequence[keras.Variable]
) -> list[tuple[tf.Tensor, keras.Variable]]:
    """Returns the gradients that there are, with their variables."""
    return [
        (gradient, variable)
        for gradient, variable in zip(gradients, variables, strict=True)
        if gradient is not None
    ]
