"""Lesson 4's towers: weights on the CPU, a slice of the batch per device."""

from collections.abc import Iterator
import contextlib
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import Draws
from keras_port._support import Shard
from keras_port._support import current_shard
from keras_port._support import even_shard
from keras_port._support import working_on
from keras_port.distribution.devices import choose_devices
from keras_port.models import ImageModel
from keras_port.training import Batch
from keras_port.training import FinishStep
from keras_port.training import GradientModel
from keras_port.training import GradientResult
from keras_port.training import Logs
from keras_port.training import Sharing
from keras_port.training import compute_shard_gradients
from keras_port.training import evaluate_shard

CPU = "/CPU:0"


@keras.saving.register_keras_serializable(package="keras_port")
class TowerModel(GradientModel):
    """Trains like the course's lesson 4, with a tower on every device.

    The weights are in the memory of the CPU, once, and all devices read them.
    Every device, the course's "tower", computes the loss and the gradients of
    its slice of the batch. The CPU averages the gradients, weighted by the
    numbers of examples (gradients of a summed loss are added), and applies one
    update. The result is that of one device with the whole batch, even with
    dropout and an uneven last batch.

    The operations of a tower have the scope `tower_0`, `tower_1` and so on.
    `distribution.mirrored_strategy` is better for GPUs: every GPU has a copy of
    the weights and does not fetch them in every step. A loaded model has as
    many towers as `num_devices=None` gives. `distribution.build_towers` makes a
    `TowerModel` from a function that builds a model.

    Args:
        *args: Inputs and outputs of a functional model, as for `keras.Model`.
        num_devices: Number of towers. Defaults to `None`: all GPUs, or the CPU
            if there is no GPU.
        **kwargs: As for `keras.Model`, for instance `name`.

    Attributes:
        devices: Names of the devices, in the order of the towers.

    Raises:
        ValueError: If there are fewer devices, or if weights are not on the
            CPU.
        RuntimeError: If the CPU would have to be split into several devices
            and TensorFlow is already using it.

    Example:

    >>> perceptron = build_perceptron()
    >>> model = keras_port.distribution.TowerModel(
    ...     perceptron.input, perceptron.output, num_devices=1
    ... )
    >>> model.devices
    ['/CPU:0']
    """

    def __init__(
        self, *args: Any, num_devices: int | None = None, **kwargs: Any
    ) -> None:
        devices = choose_devices(num_devices)
        super().__init__(*args, **kwargs)
        self.devices = devices
        elsewhere = [
            variable
            for variable in self.variables
            if "CPU" not in variable.value.device.upper()
        ]
        if elsewhere:
            raise ValueError(
                "The weights of a `TowerModel` must be on the CPU, but "
                f"{elsewhere[0].path} is on {elsewhere[0].value.device}. Use "
                "`distribution.build_towers(build_cnn, num_devices=2)`, or "
                "build the layers inside `with tf.device('CPU:0'):`."
            )

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Runs the slice of every tower forward, on its device.

        Args:
            inputs: A whole batch of inputs.
            training: Whether dropout is active. Defaults to `None`: it is not.
            mask: As for `keras.Model`. Defaults to `None`.
        """
        # A step has already split the batch, and inside another model this
        # model is a layer.
        if current_shard() is not None or not tf.is_tensor(inputs):
            return super().call(inputs, training=training, mask=mask)
        outputs = [
            super(TowerModel, self).call(own.x, training=training)
            for _, own in Towers(self.devices).split(Batch(inputs, None))
        ]
        with tf.device(CPU):
            return join(outputs)

    def _make_sharing(self) -> Sharing:
        return Towers(self.devices)


@keras.saving.register_keras_serializable(package="keras_port")
class TowerImageModel(TowerModel, ImageModel):
    """A `TowerModel` that scales pixels as an `ImageModel` does."""


class Towers:
    """Computes a shard of the batch on every device, one after the other.

    Args:
        devices: Names of the devices.
    """

    def __init__(self, devices: list[str]) -> None:
        self._devices = devices

    def compute_gradients(
        self, model: keras.Model, batch: Batch
    ) -> GradientResult:
        """Lets every tower compute its slice, and averages the gradients."""
        results = [
            compute_shard_gradients(model, own, shard)
            for shard, own in self.split(batch)
        ]
        with tf.device(CPU), tf.name_scope("average"):
            return add_results(results)

    def evaluate(self, model: keras.Model, batch: Batch) -> GradientResult:
        """Lets every tower evaluate its slice."""
        results = [
            evaluate_shard(model, own, shard)
            for shard, own in self.split(batch)
        ]
        with tf.device(CPU):
            return add_results(results)

    def update_scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the scope of the CPU, which has the weights."""
        scope: contextlib.AbstractContextManager[Any] = tf.device(CPU)
        return scope

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

    def split(self, batch: Batch) -> Iterator[tuple[Shard, Batch]]:
        """Yields the shard and the rows of every tower, on its device."""
        count = len(self._devices)
        samples: Draws = {}
        with tf.device(CPU), tf.name_scope("slices"):
            batch = Batch(*tf.nest.map_structure(to_tensor, tuple(batch)))
            size = batch.size
            shards = [
                even_shard(number, count, size, samples)
                for number in range(count)
            ]
        for number, (device, shard) in enumerate(
            zip(self._devices, shards, strict=True)
        ):
            with (
                tf.device(device),
                tf.name_scope(f"tower_{number}"),
                working_on(shard),
            ):
                yield shard, Batch(*shard.of_batch(tuple(batch)))


def add_results(results: list[GradientResult]) -> GradientResult:
    """Returns the result of the whole batch from those of its shards.

    The contribution of a shard to a mean loss is already weighted, so the sum
    is the mean.
    """
    grads_and_vars = []
    for of_variable in zip(
        *(result.grads_and_vars for result in results), strict=True
    ):
        gradients = [
            tf.convert_to_tensor(gradient)
            for gradient, _ in of_variable
            if gradient is not None
        ]
        total = tf.add_n(gradients) if gradients else None
        grads_and_vars.append((total, of_variable[0][1]))
    return GradientResult(
        loss=tf.add_n([result.loss for result in results]),
        outputs=join([result.outputs for result in results]),
        grads_and_vars=grads_and_vars,
    )


def join(outputs: list[Any]) -> Any:
    """Returns the outputs of all towers as one batch."""
    return tf.nest.map_structure(lambda *parts: tf.concat(parts, 0), *outputs)


def to_tensor(value: Any) -> Any:
    """Returns an array as a tensor, and `None` as it is."""
    return None if value is None else tf.convert_to_tensor(value)
