"""A Keras model whose training step computes and applies gradients."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import replica_context
from keras_port._support import value_errors
from keras_port.datasets import get_own_batches
from keras_port.training.compiled_loop import CompiledLoop
from keras_port.training.compiled_loop import StackReader
from keras_port.training.example_selection import HardExamples
from keras_port.training.fit_arguments import TrainingIsOverError
from keras_port.training.fit_arguments import bind_arguments
from keras_port.training.fit_arguments import check_length
from keras_port.training.fit_arguments import end_callbacks
from keras_port.training.fit_arguments import interrupt_callbacks
from keras_port.training.fit_arguments import list_deciding_arguments
from keras_port.training.fit_arguments import prepare_callbacks
from keras_port.training.fit_arguments import replace_empty_epochs
from keras_port.training.fit_arguments import takes_arguments
from keras_port.training.fit_checks import check_accumulation
from keras_port.training.fit_checks import check_clipnorm
from keras_port.training.fit_checks import check_labels_in
from keras_port.training.fit_checks import get_label_range
from keras_port.training.functional_class import are_functional_arguments
from keras_port.training.functional_class import functional_class
from keras_port.training.functional_class import reduce_functional
from keras_port.training.gradient_result import Batch
from keras_port.training.gradient_result import GradientAndVariable
from keras_port.training.gradient_result import GradientObserver
from keras_port.training.gradient_result import GradientResult
from keras_port.training.gradient_result import batch_size
from keras_port.training.label_form import match_label_form
from keras_port.training.loss_reduction import count_weights
from keras_port.training.loss_reduction import is_summed
from keras_port.training.sharing import Logs
from keras_port.training.sharing import OneDevice
from keras_port.training.sharing import Replicas
from keras_port.training.sharing import Sharing
from keras_port.training.sharing import build_optimizer
from keras_port.training.sharing import check_metrics
from keras_port.training.sharing import check_outside_of_scope
from keras_port.training.sharing import check_replicas
from keras_port.training.sharing import compare_workers
from keras_port.training.sharing import compile_scope
from keras_port.training.sharing import disable_xla
from keras_port.training.sharing import get_workers
from keras_port.training.sharing import has_replicas
from keras_port.training.sharing import lost_worker_errors
from keras_port.training.step_log import StepLog
from keras_port.training.step_loop import Step
from keras_port.training.step_loop import StepLoop
from keras_port.training.weight_update import WeightUpdate


@keras.saving.register_keras_serializable(package="keras_port")
class GradientModel(keras.Model):  # type: ignore[misc]
    """Trains in two steps: compute the gradients, apply the gradients.

    TensorFlow 1 split `optimizer.minimize(loss)` into
    `optimizer.compute_gradients(loss)` and
    `optimizer.apply_gradients(grads_and_vars)`, so that a program can look at
    the gradients or change them in between. This model has the same two steps
    as methods, and its `train_step`, and so `fit`, is made of them. Use it like
    `keras.Model`: with inputs and outputs, or as a base class with a `call`.

    Under a strategy of `tf.distribute`, such as
    `distribution.mirrored_strategy()`, losses, gradients and metrics are those
    of the whole batch, as on one device.

    `fit` and `evaluate` trace the step once, in a loop of this package. A
    model that overrides `train_step`, `test_step`, `update_metrics` or
    `compute_metrics` runs in Keras' own loop, with the same results.

    Compiled with `jit_compile=True`, `fit` runs `steps_per_execution` steps as
    one XLA program, where Keras compiles a single step. That pays for small
    models. XLA rounds in another way, so the results are not the same to the
    bit as without it. `evaluate` runs in Keras' loop then.

    Args:
        *args: As for `keras.Model`: `inputs` and `outputs`, or nothing.
        **kwargs: As for `keras.Model`, for instance `name`.

    Attributes:
        batch_loss: Loss of the newest training batch alone, a float. The
            `loss` in the logs is Keras' running mean since the epoch began.
        batches_seen: Number of batches trained on. `optimizer.iterations`
            counts updates, which are fewer if gradients are accumulated.
        skipped_updates: Number of updates skipped because a gradient was not
            finite, under loss scaling (`mixed_float16`).
        step_log: Loss, learning rate and gradient norm of each of the newest
            steps, a `StepLog` of `training/step_log.py`.
        step_variables: TensorFlow variables of the step itself, among them
            gradients that wait for more batches.
        replica_strategy: The strategy in whose scope the model was built.

    Example:

    >>> inputs = keras.Input((4,))
    >>> model = GradientModel(inputs, keras.layers.Dense(3)(inputs))
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> result = model.compute_gradients(np.ones((2, 4)), np.ones((2, 3)))
    >>> [variable.name for _, variable in result.grads_and_vars]
    ['kernel', 'bias']
    >>> model.apply_gradients(result.grads_and_vars)
    """

    step_log: StepLog
    # Keras calls these for every step; the methods below create them.
    train_function: Any
    test_function: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if are_functional_arguments(args, kwargs):
            cls: Any = type(self)
            self.__class__ = functional_class(cls)
        super().__init__(*args, **kwargs)
        self._accumulation_steps: int | None = None
        self._stack_reader: StackReader | None = None
        self._has_asked_for_xla = False
        self._is_loop_compiled = False
        self._loss_means: tuple[str, ...] = ()
        # Of the functions that were made, by their names.
        self._steps_per_call: dict[str, int] = {}

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *args: Any,
        global_clipnorm: float | None = None,
        gradient_accumulation_steps: int | None = None,
        example_selection: HardExamples | None = None,
        gradient_observers: Sequence[GradientObserver] = (),
        **kwargs: Any,
    ) -> None:
        """Configures the model for training.

        Args:
            optimizer: As for `keras.Model.compile`. Defaults to `"rmsprop"`.
            loss: As for `keras.Model.compile`. Defaults to `None`.
            *args: As for `keras.Model.compile`: `loss_weights`, `metrics` and
                so on, by position.
            global_clipnorm: Upper limit for the norm of all gradients
                together; larger gradients are scaled down to it. Defaults to
                `None`: no limit.
            gradient_accumulation_steps: Number of batches for one update. The
                gradients of a mean loss are averaged over them and those of a
                summed loss are added, so `k` batches of `n` examples give the
                update of one batch of `k * n`. `optimizer.iterations` counts
                updates. Defaults to `None`: an update for every batch.
            example_selection: Selects the examples of every batch to train on,
                a `HardExamples`. Defaults to `None`: all of them.
            gradient_observers: Functions that are called with the
                `grads_and_vars` of `compute_gradients` while the step is
                traced, and add operations to it, such as
                `tf.summary.histogram`. They are not saved with the model.
                Defaults to none.
            **kwargs: As for `keras.Model.compile`: `metrics`,
                `steps_per_execution` and so on.

        Raises:
            ValueError: If a limit or a number of batches is not positive, if
                the optimizer accumulates gradients as well, if
                `example_selection` does not fit the loss or the devices, or
                if the model or the optimizer was made outside of the scope of
                a strategy with several replicas.
        """
        if args:
            compile_arguments = bind_arguments(
                super().compile, optimizer, loss, *args, **kwargs
            )
            kwargs = {
                name: value
                for name, value in compile_arguments.items()
                if name not in ("optimizer", "loss")
            }
        check_clipnorm(global_clipnorm)
        check_accumulation(gradient_accumulation_steps, optimizer, loss)
        if example_selection is not None:
            if not isinstance(example_selection, HardExamples):
                raise ValueError(
                    "`example_selection` must be a `HardExamples` or None. "
                    f"Received: example_selection={example_selection!r}"
                )
            example_selection.check(loss, has_replicas=has_replicas(self))
        check_metrics(self, kwargs.get("metrics"))
        check_metrics(self, kwargs.get("weighted_metrics"))
        disable_xla(self, kwargs)
        # Kept alive, so that nothing new gets the identity of something old.
        before = list(vars(self).values())
        with compile_scope(self):
            super().compile(optimizer=optimizer, loss=loss, **kwargs)
            check_replicas(self)
            if has_replicas(self) and self.optimizer is not None:
                # Keras builds it in `fit`, outside of the scope.
                build_optimizer(self)
        check_accumulation(gradient_accumulation_steps, self.optimizer, loss)
        # The attribute in which Keras keeps its mean of the loss. A model may
        # keep one of its own under the same name.
        self._loss_means = tuple(
            attribute
            for attribute, value in vars(self).items()
            if isinstance(value, keras.metrics.Mean)
            and value.name == "loss"
            and not any(value is old for old in before)
        )
        self._has_asked_for_xla = kwargs.get("jit_compile") is True
        self._global_clipnorm = global_clipnorm
        self._accumulation_steps = gradient_accumulation_steps
        self._example_selection = example_selection
        self._gradient_observers = tuple(gradient_observers)
        self._sharing = self._make_sharing()
        self.step_log = StepLog.outside_of_strategies()
        self._weight_update = WeightUpdate(
            self.step_log,
            global_clipnorm=global_clipnorm,
            accumulation_steps=gradient_accumulation_steps or 1,
            average=not is_summed(loss),
        )

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, to compile a loaded model."""
        config: dict[str, Any] = super().get_compile_config()
        if not self.compiled:
            return config
        own = {
            "global_clipnorm": self._global_clipnorm,
            "gradient_accumulation_steps": self._accumulation_steps,
            "example_selection": self._example_selection,
        }
        # Only what was set: `keras.models.clone_model` may compile a stock
        # model with this.
        for name, value in own.items():
            if value is not None:
                config[name] = keras.saving.serialize_keras_object(value)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model like the saved one.

        A subclass whose own `compile` takes other arguments is not compiled,
        because they are not in the file. Keras warns about it.

        Raises:
            ValueError: If the file names gradient observers, which are never
                saved: somebody has added them.
        """
        if "gradient_observers" in config:
            raise ValueError(
                "The saved `compile` arguments have `gradient_observers`, "
                "which no saved model has. The file was changed; load it with "
                "`compile=False` if you trust it."
            )
        arguments = keras.saving.deserialize_keras_object(config)
        if not takes_arguments(self.compile, arguments):
            super().compile_from_config(config)
            return
        self.compile(**arguments)
        if self.built and self.optimizer is not None:
            # So that the saved slots find their variables.
            build_optimizer(self)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Builds the weights of a loaded model, if it has none yet."""
        # A functional model has its weights. Keras would call `build` of a
        # subclass of a functional model without a shape, which fails.
        if not self.built:
            super().build_from_config(config)

    def __reduce__(self) -> Any:
        """Pickles like every Keras model, by way of the `.keras` format."""
        return reduce_functional(type(self), super().__reduce__())

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Trains like `keras.Model.fit`, and checks the arguments first.

        A training with a `TrainingState` among its callbacks continues in the
        epoch in which it was interrupted.

        Args:
            x: As for `keras.Model.fit`. Defaults to `None`.
            y: As for `keras.Model.fit`. Defaults to `None`.
            *args: As for `keras.Model.fit`: `batch_size`, `epochs` and so on,
                by position.
            **kwargs: As for `keras.Model.fit`. With `steps_per_epoch=0`, or
                less, the model is not trained, but the callbacks are called:
                a finished training that is started again restores its end.

        Returns:
            The `keras.callbacks.History` of the training.

        Raises:
            ValueError: If an integer label is not a class of the model. Arrays
                and `shuffled_batches` are checked before the first step, other
                datasets before the step that reads the label. Also if a
                dataset is endless and its number of steps is not given.
            RuntimeError: If another machine is lost.
        """
        arguments = bind_arguments(super().fit, x, y, *args, **kwargs)
        check_outside_of_scope(self)
        check_length("x", x, "steps_per_epoch", arguments)
        check_length(
            "validation_data",
            arguments.get("validation_data"),
            "validation_steps",
            arguments,
        )
        if isinstance(x, tf.data.Dataset):
            # Keras warns that it cannot shuffle a dataset, unasked.
            arguments.setdefault("shuffle", False)
        labels = get_label_range(self)
        if labels is not None:
            arguments["x"] = check_labels_in(x, y, labels)
        prepare_callbacks(self, arguments)
        if get_workers(self) is not None:
            compare_workers(
                "what they train", list_deciding_arguments(self, arguments)
            )
        replace_empty_epochs(arguments)
        try:
            with (
                value_errors(),
                lost_worker_errors(self),
                self._choose_reader(arguments),
            ):
                # By position: mlflow samples the data for a signature there.
                return super().fit(arguments.pop("x"), **arguments)
        except TrainingIsOverError:
            end_callbacks(arguments)
            return self.history
        except BaseException:
            interrupt_callbacks(arguments)
            raise

    def compute_gradients(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> GradientResult:
        """Runs a batch forward and backward without changing the weights.

        Args:
            x: Inputs of one batch, shape (batch, ...).
            y: Targets of the batch.
            sample_weight: Weight of each example, shape (batch,). Defaults to
                `None`.

        Returns:
            A `GradientResult` with `loss`, `outputs` and `grads_and_vars`.
            With an `example_selection` the first two are those of the whole
            batch. Under loss scaling the gradients are those of the loss
            itself, not of the scaled one. Inside `Strategy.run` loss and
            gradients are those of the examples of all replicas together, and
            `outputs` those of the replica.

        Raises:
            ValueError: If the model is not compiled.
        """
        if not self.compiled:
            raise ValueError(
                "`compute_gradients` needs a loss. Call "
                "`model.compile(optimizer=..., loss=...)` first."
            )
        batch = Batch(x, y, sample_weight)
        if self._example_selection is not None:
            return self._example_selection.compute_gradients(
                self, batch, self.step_log.batches_seen
            )
        return self._sharing.compute_gradients(self, batch)

    def apply_gradients(
        self, grads_and_vars: Sequence[GradientAndVariable]
    ) -> None:
        """Updates the weights with the optimizer.

        Args:
            grads_and_vars: List of (gradient, variable) as returned by
                `compute_gradients`, perhaps changed. With
                `gradient_accumulation_steps` only every so many calls update
                the weights.

        Raises:
            ValueError: If no variable has a gradient.
        """
        gradients = [gradient for gradient, _ in grads_and_vars]
        variables = [variable for _, variable in grads_and_vars]
        with self._sharing.update_scope(), tf.name_scope("trainer"):
            build_optimizer(self)
            self._weight_update.run(
                self.optimizer, gradients, variables, self.trainable_variables
            )

    def train_step(self, data: Any) -> Logs:
        """Trains on one batch: compute gradients, apply them, update metrics.

        Args:
            data: What a dataset yields: `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Dictionary of the metrics' running values, `loss` among them.
        """
        if self._example_selection is not None:
            data = self._example_selection.truncate(
                data, self.step_log.batches_seen
            )
        batch = Batch.unpack(data)
        result = self.compute_gradients(*batch)
        self._call_observers(result)
        # This update uses these two, and changes them.
        iterations = tf.convert_to_tensor(self.optimizer.iterations)
        learning_rate = tf.convert_to_tensor(
            # `keras.optimizers.MultiOptimizer` has several.
            getattr(self.optimizer, "learning_rate", np.nan)
        )
        # In a graph, the update of `iterations` does not depend on the loss
        # and would count a step whose batch has failed a check.
        with tf.control_dependencies([result.loss]):
            self.apply_gradients(result.grads_and_vars)
        return self._sharing.finish_step(
            self._log_step, batch, result, iterations, learning_rate
        )

    def test_step(self, data: Any) -> Logs:
        """Evaluates one batch.

        A loss that is a sum over the batch is recorded per example, because
        its mean over batches would depend on their sizes. What layers add to
        the loss is added once.

        Args:
            data: What a dataset yields: `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Dictionary of the metrics' running values, `loss` among them.
        """
        batch = Batch.unpack(data)
        return self._log_evaluation(batch, self._sharing.evaluate(self, batch))

    def update_metrics(
        self,
        x: Any,
        y: Any,
        result: GradientResult,
        sample_weight: Any,
        *,
        examples: tf.Tensor | None = None,
    ) -> Logs:
        """Adds one batch to the metrics and returns their running values.

        Args:
            x: Inputs of the batch.
            y: Targets of the batch.
            result: Loss and outputs of the batch.
            sample_weight: Weight of each example, or `None`.
            examples: Number of examples in the batch. Defaults to `None`: the
                number in `x`.
        """
        if examples is None:
            examples = batch_size(x)
        with tf.name_scope("evaluator"):
            for attribute in self._loss_means:
                mean = getattr(self, attribute)
                mean.update_state(result.loss, sample_weight=examples)
            logs: Logs = self.compute_metrics(
                x,
                match_label_form(self, y),
                result.outputs,
                sample_weight=sample_weight,
            )
        return logs

    def check_inputs(self, inputs: Any) -> list[tf.Operation]:
        """Returns operations that fail for inputs that are not valid.

        XLA drops every check inside the compiled step, so `fit` with
        `jit_compile=True` runs these before it. Override it in a model that
        checks its inputs; here there are none.

        Args:
            inputs: The first example of every batch that comes next, shape
                (n, ...).
        """
        del inputs
        return []

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics' running values by name.

        At the end of an epoch Keras replaces the logs of `train_step` by these
        values (keras#14705). A custom `train_step` may never update the `loss`
        metric, and 0.0 would then replace the true value, so a `loss` without
        updates is left out.
        """
        if any(not getattr(one, "built", True) for one in self.metrics):
            return {}  # No batch has been seen.
        results: dict[str, Any] = super().get_metrics_result()
        if tf.executing_eagerly() and "loss" in results:
            for metric in self.metrics:
                is_tracker = metric.name == "loss" and isinstance(
                    metric, keras.metrics.Mean
                )
                if is_tracker and not float(metric.count.numpy()):
                    results.pop("loss", None)
        return results

    @property
    def gradient_accumulation_steps(self) -> int | None:
        """Number of batches for one update, as given to `compile`."""
        return self._accumulation_steps

    @property
    def batch_loss(self) -> float:
        """Loss of the newest training batch alone."""
        return float(self.step_log.batch_loss)

    @property
    def batches_seen(self) -> int:
        """Number of batches trained on."""
        return int(self.step_log.batches_seen)

    @property
    def skipped_updates(self) -> int:
        """Number of updates skipped because a gradient was not finite."""
        return int(self.step_log.skipped_updates)

    @property
    def step_variables(self) -> list[tf.Variable]:
        """Variables of the step itself, which a resumed training needs."""
        waiting = self._weight_update.variables(self.trainable_variables)
        return [*self.step_log.variables, *waiting]

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """The strategy that Keras uses to split batches.

        With several replicas it is that of one device: batches stay whole
        until the step itself, which splits them.
        """
        if has_replicas(self) and self._has_own_steps():
            return tf.distribute.get_strategy()
        return self.replica_strategy

    @property
    def replica_strategy(self) -> tf.distribute.Strategy:
        """The strategy in whose scope the model was built."""
        return super().distribute_strategy

    def make_train_function(self, force: bool = False) -> None:
        """Creates the function that `fit` calls."""
        if self.built and self.optimizer is not None:
            # A variable that is created while a step is traced forces a
            # second trace.
            build_optimizer(self)
        force |= self._update_steps_per_call("train_function")
        if force or self.train_function is None:
            self._is_loop_compiled = self._runs_compiled_loop()
        self._hand_over_unless_compiled()
        if not self._uses_own_loop("train_step"):
            super().make_train_function(force)
        elif force or self.train_function is None:
            self.train_function = (
                CompiledLoop(
                    self,
                    self.train_step,
                    self.check_inputs,
                    lambda: self._stack_reader,
                )
                if self._is_loop_compiled
                else StepLoop(self, self.train_step)
            )

    def make_test_function(self, force: bool = False) -> None:
        """Creates the function that `evaluate` calls."""
        step: Step = self.test_step
        if isinstance(self._sharing, Replicas):
            step = self._make_shared_test_step(self._sharing)
        force |= self._update_steps_per_call("test_function")
        if not self._uses_own_loop("test_step"):
            super().make_test_function(force)
        elif force or self.test_function is None:
            self.test_function = StepLoop(self, step)

    def make_predict_function(self, force: bool = False) -> Any:
        """Creates the function that `predict` calls."""
        force |= self._update_steps_per_call("predict_function")
        return super().make_predict_function(force)

    def _update_steps_per_call(self, name: str) -> bool:
        """Notes `steps_per_execution`, and tells whether it has changed.

        With a function that it has kept, Keras would run the old number of
        steps and count the new one.

        Args:
            name: Of the function that is going to be made or kept.
        """
        made_for = self._steps_per_call.get(name)
        self._steps_per_call[name] = self.steps_per_execution
        return made_for not in (None, self.steps_per_execution)

    @contextlib.contextmanager
    def _choose_reader(self, arguments: dict[str, Any]) -> Iterator[None]:
        """Reads the batches of a `fit` as stacks if a compiled loop can.

        Args:
            arguments: Arguments of `fit`, changed in place: other batches for a
                compiled loop are read ahead, because a call needs all of its
                batches for its first step.
        """
        outer = self._stack_reader  # Of a `fit` whose callback calls this one.
        self._stack_reader = None
        data = arguments["x"]
        if self._runs_compiled_loop() and isinstance(data, tf.data.Dataset):
            own = get_own_batches(data)
            make_stacks = None if own is None else own.make_stacks
            # With class weights, Keras makes other batches of them.
            if make_stacks and arguments.get("class_weight") is None:
                self._stack_reader = StackReader(make_stacks)
            else:
                arguments["x"] = data.prefetch(self.steps_per_execution)
        try:
            yield
        finally:
            self._stack_reader = outer
            # The `fit` that ends may have left another loop.
            self._hand_over_unless_compiled()

    def _hand_over_unless_compiled(self) -> None:
        """Ends the reading of stacks if the loop reads Keras' iterator.

        A callback has made another function for the rest of the `fit`.
        """
        if self._stack_reader is not None and not self._is_loop_compiled:
            self._stack_reader.hand_over()
            self._stack_reader = None

    def _make_sharing(self) -> Sharing:
        """Returns how the devices of this model share a batch."""
        if has_replicas(self):
            return Replicas(self.replica_strategy)
        return OneDevice()

    def _call_observers(self, result: GradientResult) -> None:
        # A replica of a custom loop has the gradients of all; they would be
        # observed once per replica.
        if replica_context() is None:
            for observer in self._gradient_observers:
                observer(result.grads_and_vars)

    def _log_step(
        self,
        batch: Batch,
        result: GradientResult,
        iterations: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> Logs:
        """Records a training step in the step log and in the metrics."""
        examples = batch.size
        with tf.name_scope("step_values"):
            self.step_log.write(
                result,
                before=iterations,
                step=tf.convert_to_tensor(self.optimizer.iterations),
                learning_rate=learning_rate,
                examples=examples,
                is_summed=is_summed(self.loss),
            )
        return self.update_metrics(
            batch.x, batch.y, result, batch.sample_weight, examples=examples
        )

    def _log_evaluation(self, batch: Batch, result: GradientResult) -> Logs:
        """Adds an evaluated batch to the metrics."""
        return self.update_metrics(
            batch.x,
            batch.y,
            result,
            batch.sample_weight,
            examples=count_weights(self, batch, result.outputs),
        )

    def _make_shared_test_step(self, replicas: Replicas) -> Step:
        """Returns a test step that runs on all replicas."""

        def shared_test_step(data: Any) -> Logs:
            batch = Batch.unpack(data)
            result = replicas.evaluate_on_all(self, batch)
            return self._log_evaluation(batch, result)

        return shared_test_step

    def _has_own_steps(self) -> bool:
        # Keras runs custom steps on every replica.
        return (
            type(self).train_step is GradientModel.train_step
            and type(self).test_step is GradientModel.test_step
        )

    def _uses_own_loop(self, step: str) -> bool:
        """Tells whether `fit` or `evaluate` runs our loop and not Keras'."""
        if has_replicas(self):
            return self._has_own_steps()
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
            and (not self.jit_compile or self._compiles(step))
        )

    def _runs_compiled_loop(self) -> bool:
        """Tells whether `fit` runs our loop, compiled by XLA."""
        return (
            self._uses_own_loop("train_step")
            and self._compiles("train_step")
            and not self.run_eagerly
        )

    def _compiles(self, step: str) -> bool:
        """Tells whether XLA compiles our loop of this step."""
        # On a GPU, Keras compiles models that have not asked for it. They get
        # Keras' loop, as every evaluation does.
        is_asked = self.jit_compile and self._has_asked_for_xla
        return is_asked and step == "train_step"
