"""Gradients that wait until enough batches have been seen."""

from collections.abc import Callable
from collections.abc import Sequence

import keras
import tensorflow as tf


class GradientAccumulator:
    """Adds up gradients over batches and hands out their total.

    Args:
        variables: The trainable variables, in the order of the gradients.
        steps: Batches for one update of the optimizer, 2 or more.
        average: Whether the total is the mean of the batches' gradients, as
            for a mean loss, or their sum, as for a summed loss.
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
        """Adds one batch's gradients; calls `apply` when the count is full."""
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
