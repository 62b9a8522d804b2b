"""Applies gradients to weights: accumulation, clipping, loss scaling."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
import warnings

import keras
import tensorflow as tf

from keras_port._support import replica_context
from keras_port.training.gradient_norm import clip_by_global_norm
from keras_port.training.gradient_result import GradientAndVariable
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
        weights: Sequence[keras.Variable],
    ) -> None:
        """Changes the variables in every `accumulation_steps`-th call.

        Args:
            optimizer: The optimizer.
            gradients: A gradient or `None` for every variable.
            variables: All weights, or a group of them.
            weights: The trainable variables of the model.

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
        self._get_accumulator(weights).add(
            list(zip(gradients, variables, strict=True)),
            lambda totals, moved: self._apply(optimizer, totals, moved),
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
        pairs = self._clip(drop_missing(gradients, variables))
        # Keras adds up the gradients of the replicas, which are all equal.
        parts = [one / context.num_replicas_in_sync for one, _ in pairs]
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
        if self._accumulation_steps == 1 or not weights:  # Not built.
            return []
        accumulator = self._get_accumulator(weights)
        return [accumulator.counts, *accumulator.sums]

    def _get_accumulator(
        self, weights: Sequence[keras.Variable]
    ) -> "GradientAccumulator":
        if self._accumulator is None:
            # A step may be traced right now; variables live outside of it.
            with tf.init_scope():
                self._accumulator = GradientAccumulator(
                    weights,
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
        pairs = self._clip(drop_missing(gradients, variables))
        present = [gradient for gradient, _ in pairs]
        moved = [variable for _, variable in pairs]
        if scales_loss(optimizer):
            skipped = apply_unscaled(optimizer, present, moved)
            self._log.skipped_updates.assign_add(tf.cast(skipped, tf.int64))
        else:
            optimizer.apply(present, moved)

    def _clip(self, pairs: list[GradientAndVariable]) -> list[Any]:
        """Returns (gradient, variable) with gradients of a limited norm."""
        limit = self._global_clipnorm
        if limit is None:
            return pairs
        is_gradient = [not is_overwritten(variable) for _, variable in pairs]
        gradients = [
            gradient
            for (gradient, _), is_one in zip(pairs, is_gradient, strict=True)
            if is_one
        ]
        clipped = iter(clip_by_global_norm(gradients, limit))
        return [
            (next(clipped), variable) if is_one else (gradient, variable)
            for (gradient, variable), is_one in zip(
                pairs, is_gradient, strict=True
            )
        ]


def is_overwritten(variable: keras.Variable) -> bool:
    """Tells whether an optimizer puts the gradient in the variable's place.

    Keras does so with the scales of float8.
    """
    return bool(getattr(variable, "overwrite_with_gradient", False))


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
        weights: The trainable variables of the model.
        steps: Batches for one update of the optimizer, 2 or more.
        average: Whether the total is the mean of the batches' gradients, as
            for a mean loss, and not their sum, as for a summed loss. A weight
            that was in fewer batches has the mean of these.
    """

    def __init__(
        self,
        weights: Sequence[keras.Variable],
        *,
        steps: int,
        average: bool,
    ) -> None:
        self.steps = steps
        # Of every weight: a program may update them in groups.
        self.counts = tf.Variable(
            tf.zeros(len(weights), tf.int32),
            trainable=False,
            name="accumulated_steps",
        )
        self.sums = [
            tf.Variable(
                tf.zeros(weight.shape, weight.dtype),
                trainable=False,
                name="accumulated_gradient",
            )
            for weight in weights
        ]
        self._places = {id(weight): at for at, weight in enumerate(weights)}
        # Of the weights that have had a gradient since their last update.
        self._with_gradient: set[int] = set()
        self._average = average

    def add(
        self,
        pairs: Sequence[GradientAndVariable],
        apply: Callable[[list[tf.Tensor | None], list[keras.Variable]], None],
    ) -> None:
        """Adds one batch; calls `apply` with the totals of `steps` batches.

        Args:
            pairs: Gradients, or `None`, and variables.
            apply: Called with the totals, `None` for a variable that had no
                gradient in any of the batches, and the variables.

        Raises:
            ValueError: If a variable was not trainable in `compile`.
        """
        variables = [variable for _, variable in pairs]
        places = [self._find_place(variable) for variable in variables]
        if not places:
            return
        for place, (gradient, variable) in zip(places, pairs, strict=True):
            if gradient is None:
                continue
            total, one = self.sums[place], tf.convert_to_tensor(gradient)
            if is_overwritten(variable):
                # As Keras does, with the largest values that float8 has seen.
                total.assign(tf.maximum(total, one))
            else:
                total.assign_add(one)
            self._with_gradient.add(place)
        group = tf.reduce_max(
            tf.one_hot(places, len(self.sums), dtype=tf.int32), 0
        )
        self.counts.assign_add(group)
        has_gradient = [place in self._with_gradient for place in places]

        def apply_totals() -> tf.Tensor:
            totals = [
                self._get_total(place, variable) if has_one else None
                for place, variable, has_one in zip(
                    places, variables, has_gradient, strict=True
                )
            ]
            apply(totals, variables)
            for place, has_one in zip(places, has_gradient, strict=True):
                # What another graph of the step has added waits for it.
                if has_one:
                    total = self.sums[place]
                    total.assign(tf.zeros_like(total))
            self.counts.assign(self.counts * (1 - group))
            if tf.executing_eagerly():
                self._with_gradient.difference_update(places)
            return tf.constant(True)

        tf.cond(
            tf.reduce_max(tf.gather(self.counts, places)) >= self.steps,
            apply_totals,
            lambda: tf.constant(False),
        )

    def _get_total(self, place: int, variable: keras.Variable) -> tf.Tensor:
        divisor = self.counts[place] if self._average else 1
        if is_overwritten(variable):
            divisor = 1
        return self.sums[place] / tf.cast(divisor, self.sums[place].dtype)

    def _find_place(self, variable: keras.Variable) -> int:
        place = self._places.get(id(variable))
        if place is None:
            raise ValueError(
                f"`{variable.path}` was not trainable when the model was "
                "compiled, so nothing accumulates its gradients. Compile the "
                "model again after changing `trainable`."
            )
        return place


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
