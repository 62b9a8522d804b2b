"""A Keras model whose training step is computing and applying gradients."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_port._rectifier import moving_rectifiers
from keras_port._support import Shard
from keras_port._support import replica_context
from keras_port.training.compile_arguments import check_accumulated_once
from keras_port.training.compile_arguments import check_accumulation
from keras_port.training.compile_arguments import check_clipnorm
from keras_port.training.example_selection import check_hard_examples
from keras_port.training.example_selection import gradients_of_hard_examples
from keras_port.training.example_selection import seen_examples
from keras_port.training.functional_class import are_functional_arguments
from keras_port.training.functional_class import functional_class
from keras_port.training.gradient_result import GradientObserver
from keras_port.training.gradient_result import GradientResult
from keras_port.training.gradient_result import Pair
from keras_port.training.loss_reduction import batch_size_of
from keras_port.training.loss_reduction import is_summed
from keras_port.training.loss_scaling import unscaled
from keras_port.training.missing_gradients import MissingGradients
from keras_port.training.recorded_model import RecordedModel
from keras_port.training.replica_gradients import part_of_loss
from keras_port.training.replica_steps import gradients_in_loop
from keras_port.training.replica_steps import shared_test_step
from keras_port.training.replica_steps import shared_train_step
from keras_port.training.replica_steps import train_step_in_loop
from keras_port.training.replicas import check_metrics
from keras_port.training.replicas import check_replicas
from keras_port.training.replicas import compile_scope
from keras_port.training.replicas import has_replicas
from keras_port.training.replicas import without_compiler
from keras_port.training.step_loop import Step
from keras_port.training.step_loop import step_loop
from keras_port.training.weight_update import WeightUpdate


@keras.saving.register_keras_serializable(package="keras_port")
class GradientModel(RecordedModel):
    """Trains in two named steps: compute the gradients, apply the gradients.

    TensorFlow 1 split `optimizer.minimize(loss)` into
    `optimizer.compute_gradients(loss)` and
    `optimizer.apply_gradients(grads_and_vars)`, to look at the pairs or change them in
    between. This model has the same two steps as methods. Its `train_step`,
    and so `fit`, is made of them. It is used as `keras.Model` is: by inputs
    and outputs, or by a subclass with a `call`.

    Under a strategy of `tf.distribute`, such as `distribution.mirrored_strategy()`,
    losses, gradients and metrics are those of the whole batch, as on one
    device, however it is shared.

    Args:
        *args: As for `keras.Model`: `inputs` and `outputs`, or nothing.
        **kwargs: As for `keras.Model`, for instance `name`.

    Attributes:
        batch_loss: Loss of the newest training batch alone, a float. The
            `loss` in the logs is Keras' running mean since the epoch began.
        step_log: The loss, learning rate and gradient norm of each of the
            newest steps, a `StepLog` of `training/step_log.py`.
        batches_seen: Batches trained on so far. `optimizer.iterations` counts
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
    >>> [variable.name for _, variable in result.grads_and_vars]
    ['kernel', 'bias']
    >>> model.apply_gradients(result.grads_and_vars)
    """

    # What Keras calls for each step; made by the methods below.
    train_function: Any
    test_function: Any

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
        hard_examples: int | None = None,
        hard_examples_warmup: int = 0,
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
            hard_examples: Examples of each batch to train on, drawn without
                replacement, each with a chance in proportion to its loss. The
                metrics are those of the whole batch, without dropout.
                Defaults to `None`: all of them.
            hard_examples_warmup: Batches, the first of a training, which
                `train_step` cuts to their first `hard_examples` examples: as
                long as the model has learnt nothing, all are hard, and no time
                goes to look at more. Defaults to 0.
            gradient_observers: Functions called with the pairs of each batch
                while the step is built, to add operations that look at them,
                such as `tf.summary.histogram`. The pairs are those of
                `compute_gradients`. They are not saved with the model.
                Defaults to none.
            **kwargs: As for `keras.Model.compile`: `metrics`,
                `steps_per_execution` and the like.

        Raises:
            ValueError: For a limit that is not positive, fewer than one
                accumulation step, or accumulation asked for twice; for
                `hard_examples` below one, with several losses or several
                replicas, and a warm-up without them; for a model or an
                optimizer made outside of the scope of a strategy with several
                replicas.
        """
        check_clipnorm(global_clipnorm)
        check_accumulation(gradient_accumulation_steps)
        check_hard_examples(
            hard_examples,
            hard_examples_warmup,
            loss,
            shared=has_replicas(self),
        )
        check_metrics(self, kwargs.get("metrics"))
        check_metrics(self, kwargs.get("weighted_metrics"))
        without_compiler(self, kwargs)
        with compile_scope(self):
            super().compile(optimizer=optimizer, loss=loss, **kwargs)
            check_replicas(self)
            if has_replicas(self):
                # Keras builds it in `fit`, outside of the scope.
                self._build_optimizer()
        check_accumulated_once(gradient_accumulation_steps, self.optimizer)
        self._global_clipnorm = global_clipnorm
        self._accumulation_steps = gradient_accumulation_steps
        self._hard_examples = hard_examples
        self._hard_examples_warmup = hard_examples_warmup
        self._gradient_observers = tuple(gradient_observers)
        self.begin_record()
        self._missing_gradients = MissingGradients()
        self._weight_update = WeightUpdate(
            self.step_record,
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
            config["hard_examples"] = self._hard_examples
            config["hard_examples_warmup"] = self._hard_examples_warmup
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
            A `GradientResult` with `loss`, `outputs` and `grads_and_vars`. With
            `hard_examples` the first two are those of the whole batch. Under
            loss scaling the gradients are those of the loss itself, not of the
            scaled one. Inside `Strategy.run` loss and gradients are those of
            the examples of all replicas together, and `outputs` the replica's
            own.

        Raises:
            ValueError: If the model is not compiled.
        """
        if not self.compiled:
            raise ValueError(
                "`compute_gradients` needs a loss. Call "
                "`model.compile(optimizer=..., loss=...)` first."
            )
        context = replica_context()
        if context is not None:
            return gradients_in_loop(self, context, (x, y, sample_weight))
        if self._hard_examples is not None:
            return gradients_of_hard_examples(
                self,
                x,
                y,
                sample_weight,
                count=self._hard_examples,
                # So that a resumed training draws the same.
                batch=self.step_record.batches,
            )
        return self.share_gradients(x, y, sample_weight, None)

    def share_gradients(
        self, x: Any, y: Any, sample_weight: Any, shard: Shard | None
    ) -> GradientResult:
        """Computes one device's part of the loss, and its gradients.

        Args:
            x: The device's inputs.
            y: Their targets.
            sample_weight: Their weights, or `None`.
            shard: Which part of the batch they are, `None` for all of it.
        """
        with tf.GradientTape() as tape:
            outputs = self(x, training=True)
            # Before the loss is scaled, by a variable of the optimizer.
            self._build_optimizer()
            loss = self.compute_loss(x, y, outputs, sample_weight)
            if shard is not None:
                loss = part_of_loss(self, loss, shard)
            scaled_loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled_loss, variables)
        gradients = unscaled(self.optimizer, gradients, loss.dtype)
        pairs = list(zip(gradients, variables, strict=True))
        return GradientResult(loss=loss, outputs=outputs, grads_and_vars=pairs)

    def apply_gradients(self, grads_and_vars: Sequence[Pair]) -> None:
        """Changes the weights by the gradients, as the optimizer does it.

        Args:
            grads_and_vars: List of (gradient, variable) as `compute_gradients` returns
                it, perhaps changed. With `gradient_accumulation_steps` the
                weights change in each of these many calls only.

        Raises:
            ValueError: If no variable has a gradient.
        """
        gradients = [gradient for gradient, _ in grads_and_vars]
        variables = [variable for _, variable in grads_and_vars]
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
        context = replica_context()
        if context is not None:
            return train_step_in_loop(self, context, data)
        if self._hard_examples is not None:
            data = seen_examples(
                data,
                count=self._hard_examples,
                warmup=self._hard_examples_warmup,
                batch=self.step_record.batches,
            )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        result = self.compute_gradients(x, y, sample_weight)
        return self.finish_step(x, y, sample_weight, result, batch_size_of(x))

    def finish_step(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        result: GradientResult,
        examples: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Applies the gradients of a batch, records it, updates the metrics.

        Args:
            x: Inputs of the batch; `None` where the devices have kept them.
            y: Its targets.
            sample_weight: Its weights, or `None`.
            result: What computing its gradients has given.
            examples: Number of examples in the batch.
        """
        for observer in self._gradient_observers:
            observer(result.grads_and_vars)
        # What this update uses: both change when it is applied.
        before = tf.convert_to_tensor(self.optimizer.iterations)
        learning_rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        # In a graph, an update of `optimizer.iterations` waits for nothing by
        # itself, and would count a step whose batch has failed a check.
        with tf.control_dependencies([result.loss]):
            self.apply_gradients(result.grads_and_vars)
        self.record_step(result, examples, before, learning_rate)
        return self.update_metrics(
            x, y, result, sample_weight, examples=examples
        )

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
        result = GradientResult(loss=loss, outputs=outputs, grads_and_vars=[])
        return self.finish_test(x, y, sample_weight, result, batch_size_of(x))

    def finish_test(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        result: GradientResult,
        examples: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Adds an evaluated batch to the metrics; arguments as above."""
        if is_summed(self.loss):
            loss = result.loss / tf.cast(examples, result.loss.dtype)
            result = dataclasses.replace(result, loss=loss)
        return self.update_metrics(
            x, y, result, sample_weight, examples=examples
        )

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """The strategy by which Keras deals out batches.

        With several replicas it is that of one device: batches stay whole
        until the step itself, which deals them out by `replica_strategy`.
        """
        if has_replicas(self) and self._has_own_steps():
            return tf.distribute.get_strategy()
        return self.replica_strategy

    @property
    def replica_strategy(self) -> tf.distribute.Strategy:
        """The strategy in whose scope the model was built."""
        return super().distribute_strategy

    def make_train_function(self, force: bool = False) -> None:
        """Makes what `fit` calls."""
        if self.built:
            # A variable made while a graph is built asks for another graph.
            self._build_optimizer()
        if has_replicas(self) and self._has_own_steps():
            step: Step = shared_train_step
        elif self._loops_over("train_step"):
            step = quick_train_step
        else:
            super().make_train_function(force)
            return
        if force or self.train_function is None:
            self.train_function = step_loop(self, step)

    def make_test_function(self, force: bool = False) -> None:
        """Makes what `evaluate` calls."""
        if has_replicas(self) and self._has_own_steps():
            step: Step = shared_test_step
        elif self._loops_over("test_step"):
            step = GradientModel.test_step
        else:
            super().make_test_function(force)
            return
        if force or self.test_function is None:
            self.test_function = step_loop(self, step)

    def _has_own_steps(self) -> bool:
        # Steps of another kind are run on each replica, as Keras does it.
        return (
            type(self).train_step is GradientModel.train_step
            and type(self).test_step is GradientModel.test_step
        )

    def _loops_over(self, step: str) -> bool:
        """Tells whether one device runs a step whose logs are the metrics."""
        cls = type(self)
        inherited = {
            step: GradientModel,
            "update_metrics": GradientModel,
            "compute_metrics": keras.Model,
        }
        return (
            all(getattr(cls, k) is getattr(v, k) for k, v in inherited.items())
            and self.replica_strategy is tf.distribute.get_strategy()
            and not tf.distribute.has_strategy()
            and not self.jit_compile
        )

    @property
    def step_variables(self) -> list[tf.Variable]:
        """Variables of the step itself, which a resumed training needs."""
        record = self.step_record
        return [
            record.batch_loss,
            record.skipped_updates,
            record.batches,
            *self._weight_update.variables(self.trainable_variables),
        ]

    def _build_optimizer(self) -> None:
        # With all variables, not only those that have a gradient today.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)


def quick_train_step(model: GradientModel, batch: Any) -> None:
    """Trains on a batch, by layers that may change their order."""
    with moving_rectifiers():
        model.train_step(batch)
