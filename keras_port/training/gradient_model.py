"""A Keras model whose training step is computing and applying gradients."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
import warnings

import keras
import numpy as np
import tensorflow as tf

from keras_port._graph_check import value_errors
from keras_port.training.checked_labels import checked_labels
from keras_port.training.checked_labels import takes_integer_labels
from keras_port.training.functional_class import are_functional_arguments
from keras_port.training.functional_class import functional_class
from keras_port.training.gradient_accumulator import GradientAccumulator
from keras_port.training.gradient_result import GradientResult
from keras_port.training.gradient_result import Pair

GradientObserver = Callable[[Sequence[Pair]], None]


@keras.saving.register_keras_serializable(package="keras_port")
class GradientModel(keras.Model):  # type: ignore[misc]
    """Trains in two named steps: compute the gradients, apply the gradients.

    TensorFlow 1 split `optimizer.minimize(loss)` into
    `optimizer.compute_gradients(loss)` and
    `optimizer.apply_gradients(pairs)`, to look at the pairs or change them in
    between. This model has the same two steps as methods. Its `train_step`,
    and so `fit`, is made of them. It is used as `keras.Model` is: by inputs
    and outputs, or by a subclass with a `call`.

    Args:
        *args: As for `keras.Model`: `inputs` and `outputs`, or nothing.
        **kwargs: As for `keras.Model`, for instance `name`.

    Attributes:
        batch_loss: Loss of the newest training batch alone, a float. The
            `loss` in the logs is Keras' running mean since the epoch began.
        skipped_updates: Updates left out so far because a gradient was not
            finite, under loss scaling (`mixed_float16`).

    Example:

    >>> inputs = keras.Input((4,))
    >>> model = GradientModel(inputs, keras.layers.Dense(3)(inputs))
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> result = model.compute_gradients(np.ones((2, 4)), np.ones((2, 3)))
    >>> [variable.name for _, variable in result.pairs]
    ['kernel', 'bias']
    >>> model.apply_gradients(result.pairs)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if are_functional_arguments(args, kwargs):
            cls: Any = type(self)
            self.__class__ = functional_class(cls)
        super().__init__(*args, **kwargs)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *,
        global_clipnorm: float | None = None,
        gradient_accumulation_steps: int | None = None,
        gradient_observers: Sequence[GradientObserver] = (),
        **kwargs: Any,
    ) -> None:
        """Sets how the model trains.

        Args:
            optimizer: As for `keras.Model.compile`. Defaults to `"rmsprop"`.
            loss: As for `keras.Model.compile`. Defaults to `None`.
            global_clipnorm: Upper limit of the norm of all gradients together;
                larger ones are scaled down to it. Defaults to `None`: no
                limit.
            gradient_accumulation_steps: Batches for one update. The gradients
                of a mean loss are averaged over them and those of a summed
                loss added, so that `k` batches of `n` give the update of one
                batch of `k * n`. `optimizer.iterations` counts updates.
                Defaults to `None`: each batch.
            gradient_observers: Functions called with the pairs of each batch
                while the step is built, to add operations that look at them,
                such as `tf.summary.histogram`. The pairs are those of
                `compute_gradients`. They are not saved with the model.
                Defaults to none.
            **kwargs: As for `keras.Model.compile`: `metrics`,
                `steps_per_execution` and the like.

        Raises:
            ValueError: For a limit that is not positive, fewer than one
                accumulation step, or accumulation asked for twice.
        """
        check_clipnorm(global_clipnorm)
        check_accumulation(gradient_accumulation_steps)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        if gradient_accumulation_steps and getattr(
            self.optimizer, "gradient_accumulation_steps", None
        ):
            raise ValueError(
                "`gradient_accumulation_steps` is given to both `compile` and "
                "the optimizer, and would be multiplied. Give it to one."
            )
        self._global_clipnorm = global_clipnorm
        self._accumulation_steps = gradient_accumulation_steps or 1
        self._accumulator: GradientAccumulator | None = None
        self._gradient_observers = tuple(gradient_observers)
        self._step_record = StepRecord()
        self._warned_paths: set[str] = set()

    def get_compile_config(self) -> dict[str, Any]:
        """Returns what `compile` was given, to compile a loaded model."""
        config: dict[str, Any] = super().get_compile_config()
        if self.compiled:
            config["global_clipnorm"] = self._global_clipnorm
            config["gradient_accumulation_steps"] = self._accumulation_steps
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as the saved one was compiled."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            # So that the saved slots find their variables.
            self.optimizer.build(self.trainable_variables)

    def compute_gradients(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> GradientResult:
        """Runs the model forward and back, and changes no weight.

        Args:
            x: Inputs of one batch, shape (batch, ...).
            y: Targets of the batch.
            sample_weight: Weight of each example, shape (batch,). Defaults to
                `None`.

        Returns:
            A `GradientResult` with `loss`, `outputs` and `pairs`. Under loss
            scaling the gradients are those of the loss itself, not of the
            scaled one.

        Raises:
            ValueError: If the model is not compiled.
        """
        if not self.compiled:
            raise ValueError(
                "`compute_gradients` needs a loss. Call "
                "`model.compile(optimizer=..., loss=...)` first."
            )
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            # Before the loss is scaled, by a variable of the optimizer.
            self._build_optimizer()
            loss = self.compute_loss(x, y, outputs, sample_weight)
            scaled_loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        if scales_loss(self.optimizer):
            scale = self.optimizer.scale_loss(tf.ones((), loss.dtype))
            gradients = [
                None if gradient is None else gradient / scale
                for gradient in gradients
            ]
        pairs = list(zip(gradients, variables, strict=True))
        return GradientResult(loss=loss, outputs=outputs, pairs=pairs)

    def apply_gradients(self, pairs: Sequence[Pair]) -> None:
        """Changes the weights by the gradients, as the optimizer does it.

        Args:
            pairs: List of (gradient, variable) as `compute_gradients` returns
                it, perhaps changed. With `gradient_accumulation_steps` the
                weights change in each of these many calls only.

        Raises:
            ValueError: If no variable has a gradient.
        """
        gradients = [gradient for gradient, _ in pairs]
        variables = [variable for _, variable in pairs]
        self._build_optimizer()
        self._check_some_gradient(gradients, variables)
        if self._accumulation_steps == 1:
            self._update_weights(gradients, variables)
            return
        self._accumulator_of(variables).add(
            gradients, lambda total: self._update_weights(total, variables)
        )

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one batch: compute gradients, apply them, update metrics.

        Args:
            data: What a dataset yields: `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Dictionary of the metrics' running values, `loss` among them.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        result = self.compute_gradients(x, y, sample_weight)
        for observer in self._gradient_observers:
            observer(result.pairs)
        self.apply_gradients(result.pairs)
        self._step_record.batch_loss.assign(tf.cast(result.loss, tf.float64))
        return self.update_metrics(x, y, result, sample_weight)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch.

        A loss that is a sum over the batch is recorded per example: its mean
        over batches would depend on the size of the batches.

        Args:
            data: What a dataset yields: `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Dictionary of the metrics' running values, `loss` among them.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        outputs = self(x, training=False)
        loss = self.compute_loss(x, y, outputs, sample_weight, training=False)
        if is_summed(self.loss):
            loss /= tf.cast(batch_size_of(x), loss.dtype)
        result = GradientResult(loss=loss, outputs=outputs, pairs=[])
        return self.update_metrics(x, y, result, sample_weight)

    def update_metrics(
        self, x: Any, y: Any, result: GradientResult, sample_weight: Any
    ) -> dict[str, tf.Tensor]:
        """Adds one batch to the metrics and returns their running values."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(result.loss, sample_weight=batch_size_of(x))
        logs: dict[str, tf.Tensor] = self.compute_metrics(
            x, y, result.outputs, sample_weight=sample_weight
        )
        return logs

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics' running values by name.

        At the end of an epoch Keras puts these in the place of what
        `train_step` returned (keras#14705). A `train_step` that computes a
        loss of its own leaves the `loss` metric empty, and 0.0 would take the
        place of the true value. So an empty `loss` is left out.
        """
        results: dict[str, Any] = super().get_metrics_result()
        if tf.executing_eagerly() and "loss" in results:
            tracker = next(m for m in self.metrics if m.name == "loss")
            if not float(tracker.count):
                del results["loss"]
        return results

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Trains as `keras.Model.fit` does, with labels looked at first.

        Args:
            x: As for `keras.Model.fit`. Defaults to `None`.
            y: As for `keras.Model.fit`. Defaults to `None`.
            **kwargs: As for `keras.Model.fit`.

        Returns:
            The `keras.callbacks.History` of the training.

        Raises:
            ValueError: If an integer label is no class of the model, in
                arrays before the first step, in a dataset before the step
                that reads it.
        """
        if isinstance(x, tf.data.Dataset):
            # Keras warns that it cannot shuffle a dataset; nobody asked it to.
            kwargs.setdefault("shuffle", False)
        if takes_integer_labels(self.loss) and self._num_classes:
            x = checked_labels(x, y, self._num_classes)
        with value_errors():
            return super().fit(x, y, **kwargs)

    @property
    def batch_loss(self) -> float:
        """Loss of the newest training batch alone."""
        return float(self._step_record.batch_loss)

    @property
    def skipped_updates(self) -> int:
        """Updates left out so far because a gradient was not finite."""
        return int(self._step_record.skipped_updates)

    @property
    def _num_classes(self) -> int | None:
        shape = getattr(self, "output_shape", None)
        return shape[-1] if isinstance(shape, tuple) else None

    def _build_optimizer(self) -> None:
        # With all variables, not only those that have a gradient today.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _check_some_gradient(
        self,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        missing = [
            variable.path
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is None
        ]
        if len(missing) == len(variables):
            raise ValueError(
                "No variable has a gradient: the loss does not depend on the "
                "weights in a way that can be differentiated. Operations such "
                "as argmax, rounding, casts to integers and NumPy functions "
                "have no gradient; take the loss from the outputs before them."
            )
        new = [path for path in missing if path not in self._warned_paths]
        if new:
            self._warned_paths.update(new)
            warnings.warn(
                f"The loss does not depend on {', '.join(new)}: these "
                "variables stay as they are.",
                stacklevel=3,
            )

    def _accumulator_of(
        self, variables: Sequence[keras.Variable]
    ) -> GradientAccumulator:
        if self._accumulator is None:
            # Out of the graph that is being built, as a step may be.
            with tf.init_scope():
                self._accumulator = GradientAccumulator(
                    variables,
                    steps=self._accumulation_steps,
                    average=not is_summed(self.loss),
                )
        return self._accumulator

    def _update_weights(
        self,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is not None
        ]
        present = [gradient for gradient, _ in pairs]
        if self._global_clipnorm is not None:
            present, _ = tf.clip_by_global_norm(present, self._global_clipnorm)
        if not scales_loss(self.optimizer):
            self.optimizer.apply(present, [variable for _, variable in pairs])
            return
        # The optimizer divides by the scale, which is a power of two: the
        # multiplication loses nothing.
        scaled = [self.optimizer.scale_loss(gradient) for gradient in present]
        before = tf.convert_to_tensor(self.optimizer.iterations)
        self.optimizer.apply(scaled, [variable for _, variable in pairs])
        skipped = tf.equal(before, self.optimizer.iterations)
        self._step_record.skipped_updates.assign_add(tf.cast(skipped, tf.int64))


class StepRecord:
    """What a training step leaves for whoever looks at it between steps."""

    def __init__(self) -> None:
        self.batch_loss = tf.Variable(
            np.nan, dtype=tf.float64, trainable=False, name="batch_loss"
        )
        self.skipped_updates = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="skipped_updates"
        )


def batch_size_of(x: Any) -> tf.Tensor:
    """Returns the number of examples in a batch of inputs."""
    return tf.shape(tf.nest.flatten(x)[0])[0]


def scales_loss(optimizer: keras.optimizers.Optimizer) -> bool:
    """Tells whether the optimizer expects gradients of a scaled loss."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or bool(
        optimizer.loss_scale_factor
    )


def is_summed(loss: Any) -> bool:
    """Tells whether each loss given to `compile` is a sum over the batch."""
    losses = tf.nest.flatten(loss)
    return all(getattr(one, "reduction", None) == "sum" for one in losses)


def check_clipnorm(global_clipnorm: float | None) -> None:
    """Raises unless the limit of the norm is `None` or positive."""
    if global_clipnorm is not None and not global_clipnorm > 0:
        raise ValueError(
            "`global_clipnorm` must be positive, or None for no limit. "
            f"Received: global_clipnorm={global_clipnorm}"
        )


def check_accumulation(steps: int | None) -> None:
    """Raises unless the number of batches is `None` or a positive integer."""
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ValueError(
            "`gradient_accumulation_steps` must be a positive integer, or "
            f"None. Received: gradient_accumulation_steps={steps}"
        )
