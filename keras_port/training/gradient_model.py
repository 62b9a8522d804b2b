"""A Keras model whose training step is computing and applying gradients."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_port.training.checked_fit_model import CheckedFitModel
from keras_port.training.compile_arguments import check_accumulated_once
from keras_port.training.compile_arguments import check_accumulation
from keras_port.training.compile_arguments import check_clipnorm
from keras_port.training.functional_class import are_functional_arguments
from keras_port.training.functional_class import functional_class
from keras_port.training.gradient_result import GradientObserver
from keras_port.training.gradient_result import GradientResult
from keras_port.training.gradient_result import Pair
from keras_port.training.loss_reduction import batch_size_of
from keras_port.training.loss_reduction import is_summed
from keras_port.training.loss_scaling import unscaled
from keras_port.training.missing_gradients import MissingGradients
from keras_port.training.step_log import StepLog
from keras_port.training.step_record import StepRecord
from keras_port.training.weight_update import WeightUpdate


@keras.saving.register_keras_serializable(package="keras_port")
class GradientModel(CheckedFitModel):
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
        step_log: The loss, learning rate and gradient norm of each of the
            newest steps, a `StepLog` of `training/step_log.py`.
        batches: Batches trained on so far. `optimizer.iterations` counts
            updates, which are fewer when gradients are accumulated.
        step_variables: TensorFlow variables of the step itself, among them
            gradients that wait for more batches.
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
        check_accumulated_once(gradient_accumulation_steps, self.optimizer)
        self._global_clipnorm = global_clipnorm
        self._accumulation_steps = gradient_accumulation_steps
        self._gradient_observers = tuple(gradient_observers)
        self._step_record = StepRecord()
        self.step_log = StepLog()
        self._missing_gradients = MissingGradients()
        self._weight_update = WeightUpdate(
            self._step_record,
            global_clipnorm=global_clipnorm,
            accumulation_steps=gradient_accumulation_steps or 1,
            average=not is_summed(loss),
        )

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
        gradients = unscaled(self.optimizer, gradients, loss.dtype)
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
        self._missing_gradients.check(gradients, variables)
        self._weight_update.run(self.optimizer, gradients, variables)

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
        # What this update uses: both change when it is applied.
        before = tf.convert_to_tensor(self.optimizer.iterations)
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        # In a graph, an update of `optimizer.iterations` waits for nothing by
        # itself, and would count a step whose batch has failed a check.
        with tf.control_dependencies([result.loss]):
            self.apply_gradients(result.pairs)
        self._step_record.batch_loss.assign(tf.cast(result.loss, tf.float64))
        self._step_record.batches.assign_add(1)
        self.step_log.write(
            before=before,
            step=tf.convert_to_tensor(self.optimizer.iterations),
            loss=result.loss,
            learning_rate=learning_rate,
            gradients=[gradient for gradient, _ in result.pairs],
            examples=batch_size_of(x),
        )
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

    @property
    def batch_loss(self) -> float:
        """Loss of the newest training batch alone."""
        return float(self._step_record.batch_loss)

    @property
    def batches(self) -> int:
        """Batches trained on so far."""
        return int(self._step_record.batches)

    @property
    def step_variables(self) -> list[tf.Variable]:
        """Variables of the step itself, which a resumed training needs."""
        record = self._step_record
        return [
            record.batch_loss,
            record.skipped_updates,
            record.batches,
            *self._weight_update.variables(self.trainable_variables),
        ]

    @property
    def skipped_updates(self) -> int:
        """Updates left out so far because a gradient was not finite."""
        return int(self._step_record.skipped_updates)

    def _build_optimizer(self) -> None:
        # With all variables, not only those that have a gradient today.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
