"""Applies gradients to weights: accumulation, clipping, loss scaling."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
import warnings

import keras
import tensorflow as tf

from keras_port._support import replica_context
from keras_port.training.loss_scaling import apply_unscaled
from keras_port.training.loss_scaling import scales_loss
from keras_port.training.step_log import StepLog


class WeightUpdate:
    """Accumulates gradients, clips their norm, and applies them.

    In this order, `k` batches are clipped, decayed and counted as one batch of
    all their examples would be (keras#19990).

    Args:
        log: Counts the updates that are skipped.
        global_clipnorm: Upper limit of the norm of all gradients together, or
            `None` for no limit.
        accumulation_steps: Batches for one update, 1 or more.
        average: Whether the gradients of these batches are averaged and not
            added.
    """

    def __init__(
        self,
        log: StepLog,
        *,
        global_clipnorm: float | None,
        accumulation_steps: int,
        average: bool,
    ) -> None:
        self._log = log
        self._global_clipnorm = global_clipnorm
        self._accumulation_steps = accumulation_steps
        self._average = average
        self._accumulator: GradientAccumulator | None = None
        self._missing = MissingGradients()

    def run(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Changes the variables in every `accumulation_steps`-th call.

        Raises:
            ValueError: If no variable has a gradient.
        """
        self._missing.check(gradients, variables)
        if not variables:
            return
        context = replica_context()
        if context is not None:
            self._run_on_replica(context, optimizer, gradients, variables)
            return
        if self._accumulation_steps == 1:
            self._apply(optimizer, gradients, variables)
            return
        self._get_accumulator(variables).add(
            gradients, lambda total: self._apply(optimizer, total, variables)
        )

    def _run_on_replica(
        self,
        context: Any,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Changes the variables from inside `Strategy.run`."""
        if self._accumulation_steps > 1:
            raise ValueError(
                "`gradient_accumulation_steps` works in `fit` but not in a "
                "custom loop with `Strategy.run`, where an update must not "
                "depend on a condition (keras#20763)."
            )
        pairs = drop_missing(gradients, variables)
        present = self._clip([gradient for gradient, _ in pairs])
        # Keras adds up the gradients of the replicas, which are all equal.
        parts = [one / context.num_replicas_in_sync for one in present]
        moved = [variable for _, variable in pairs]
        if scales_loss(optimizer):
            apply_unscaled(optimizer, parts, moved)
        else:
            optimizer.apply(parts, moved)

    def variables(self, weights: Sequence[keras.Variable]) -> list[tf.Variable]:
        """Returns the variables that hold waiting gradients, and their count.

        Args:
            weights: The trainable variables.
        """
        if self._accumulation_steps == 1:
            return []
        accumulator = self._get_accumulator(weights)
        return [accumulator.count, *accumulator.sums]

    def _get_accumulator(
        self, variables: Sequence[keras.Variable]
    ) -> "GradientAccumulator":
        if self._accumulator is None:
            # A step may be traced right now; variables live outside of it.
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
        pairs = drop_missing(gradients, variables)
        present = self._clip([gradient for gradient, _ in pairs])
        moved = [variable for _, variable in pairs]
        if scales_loss(optimizer):
            skipped = apply_unscaled(optimizer, present, moved)
            self._log.skipped_updates.assign_add(tf.cast(skipped, tf.int64))
        else:
            optimizer.apply(present, moved)

    def _clip(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        if self._global_clipnorm is None:
            return gradients
        clipped: list[tf.Tensor]
        clipped, _ = tf.clip_by_global_norm(gradients, self._global_clipnorm)
        return clipped


def drop_missing(
    gradients: Sequence[tf.Tensor | None], variables: Sequence[keras.Variable]
) -> list[tuple[tf.Tensor, keras.Variable]]:
    """Returns (gradient, variable) without the variables that have none."""
    return [
        (gradient, variable)
        for gradient, variable in zip(gradients, variables, strict=True)
        if gradient is not None
    ]


class GradientAccumulator:
    """Adds up gradients over batches.

    Args:
        variables: The trainable variables, in the order of the gradients.
        steps: Batches for one update of the optimizer, 2 or more.
        average: Whether the total is the mean of the batches' gradients, as
            for a mean loss, and not their sum, as for a summed loss.
    """

    def __init__(
        self,
        variables: Sequence[keras.Variable],
        *,
        steps: int,
        average: bool,
    ) -> None:
        self.steps = steps
        self.count = tf.Variable(0, trainable=False, name="accumulated_steps")
        self.sums = [
            tf.Variable(
                tf.zeros(variable.shape, variable.dtype),
                trainable=False,
                name="accumulated_gradient",
            )
            for variable in variables
        ]
        self._divisor = steps if average else 1

    def add(
        self,
        gradients: Sequence[tf.Tensor | None],
        apply: Callable[[list[tf.Tensor | None]], None],
    ) -> None:
        """Adds one batch; calls `apply` with the total of `steps` batches."""
        for total, gradient in zip(self.sums, gradients, strict=True):
            if gradient is not None:
                total.assign_add(tf.convert_to_tensor(gradient))
        self.count.assign_add(1)

        def apply_total() -> tf.Tensor:
            apply(
                [
                    None if gradient is None else total / self._divisor
                    for total, gradient in zip(
                        self.sums, gradients, strict=True
                    )
                ]
            )
            for variable in [*self.sums, self.count]:
                variable.assign(tf.zeros_like(variable))
            return tf.constant(True)

        tf.cond(
            self.count >= self.steps, apply_total, lambda: tf.constant(False)
        )


class MissingGradients:
    """Warns once about every variable without a gradient."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def check(
        self,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Raises `ValueError` if no variable has a gradient."""
        missing = [
            variable.path
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is None
        ]
        if not variables:
            self._warn_of_nothing_to_train()
        elif len(missing) == len(variables):
            raise ValueError(
                "No variable has a gradient: the loss does not depend on the "
                "weights in a way that can be differentiated. Operations such "
                "as argmax, rounding, casts to integers and NumPy functions "
                "have no gradient; take the loss from the outputs before them."
            )
        new = [path for path in missing if path not in self._warned]
        if new:
            self._warned.update(new)
            warnings.warn(
                f"The loss does not depend on {', '.join(new)}: these "
                "variables do not change.",
                stacklevel=4,
            )

    def _warn_of_nothing_to_train(self) -> None:
        # As Keras does: metrics and the state of layers still change.
        if "" not in self._warned:
            self._warned.add("")
            warnings.warn(
                "The model does not have any trainable weights.", stacklevel=5
            )
