"""Lesson 4's towers: weights on the CPU, slices of the batch on the devices."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import Draws
from keras_port._support import Shard
from keras_port._support import current_shard
from keras_port._support import even_shard
from keras_port._support import working_on
from keras_port.distribution.devices import chosen_devices
from keras_port.models import ImageModel
from keras_port.training import GradientResult
from keras_port.training.loss_reduction import batch_size_of
from keras_port.training.replica_gradients import evaluation_of_part
from keras_port.training.replica_gradients import gradients_of_part

CPU = "/CPU:0"


@keras.saving.register_keras_serializable(package="keras_port")
class TowerModel(ImageModel):
    """Trains as the course's lesson 4 does: a tower on each device.

    The weights lie in the memory of the CPU, once, and all devices read them.
    Each device, the course's "tower", computes the loss and the gradients of
    its slice of the batch. The CPU averages the gradients, weighted by the
    numbers of examples (those of a summed loss it adds), and applies one
    update. The result is that of one device with the whole batch, also with
    dropout, and with an uneven last batch.

    The operations of a tower have the scope `tower_0`, `tower_1` and so on.
    `distribution.mirrored_strategy` is made for GPUs: there each has a copy of the
    weights and need not fetch them in each step. A loaded model has as many
    towers as `num_devices=None` gives. `distribution.build_towers` makes one of a
    model's builder.

    Args:
        *args: Inputs and outputs of a functional model, as for `keras.Model`.
        num_devices: Number of towers. Defaults to `None`: all GPUs, or the CPU
            where there is none.
        **kwargs: As for `keras.Model`, for instance `name`.

    Attributes:
        devices: Names of the devices, in the order of the towers.

    Raises:
        ValueError: For more devices than there are, and for weights that do
            not lie on the CPU.
        RuntimeError: If the CPU would have to be divided, and TensorFlow has
            begun to use it.

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
        devices = chosen_devices(num_devices)
        super().__init__(*args, **kwargs)
        self.devices = devices
        elsewhere = [
            variable
            for variable in self.variables
            if "CPU" not in variable.value.device.upper()
        ]
        if elsewhere:
            raise ValueError(
                "The weights of towers lie on the CPU, but "
                f"{elsewhere[0].path} lies on {elsewhere[0].value.device}. Use "
                "`distribution.build_towers(build_cnn, num_devices=2)`, or build the "
                "layers in the block `with tf.device('CPU:0'):`."
            )

    def compute_gradients(
        self, x: Any, y: Any, sample_weight: Any = None
    ) -> GradientResult:
        """Lets each tower compute its slice, and averages the gradients.

        Args:
            x: Inputs of one batch, shape (batch, ...).
            y: Targets of the batch.
            sample_weight: Weight of each example, shape (batch,). Defaults to
                `None`.

        Returns:
            A `GradientResult` of the whole batch.

        Raises:
            ValueError: If the model is not compiled, or has losses of which
                some are sums over the batch and some are means.
        """
        if not self.compiled:
            # Says so.
            return super().compute_gradients(x, y, sample_weight)
        parts = [
            gradients_of_part(self, shard, data)
            for shard, data in self._towers((x, y, sample_weight))
        ]
        with tf.device(CPU), tf.name_scope("average"):
            return added_up(parts)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Lets each tower evaluate its slice of a batch.

        Args:
            data: What a dataset yields: `(x, y)` or `(x, y, sample_weight)`.

        Returns:
            Dictionary of the metrics' running values, `loss` among them.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        parts = [
            evaluation_of_part(self, shard, data)
            for shard, data in self._towers((x, y, sample_weight))
        ]
        with tf.device(CPU):
            result = added_up(parts)
        return self.finish_test(x, y, sample_weight, result, batch_size_of(x))

    def apply_gradients(self, grads_and_vars: Any) -> None:
        """Changes the weights, on the CPU.

        Args:
            grads_and_vars: As `compute_gradients` returns them.
        """
        with tf.device(CPU):
            super().apply_gradients(grads_and_vars)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Runs each tower's slice forward, on its device.

        Args:
            inputs: A whole batch of inputs.
            training: Whether dropout is active. Defaults to `None`, for not.
            mask: As for `keras.Model`. Defaults to `None`.
        """
        # In a step the slices are made before, and a model that stands in
        # another one is a layer of it.
        if current_shard() is not None or not tf.is_tensor(inputs):
            return super().call(inputs, training=training, mask=mask)
        towers = [
            super(TowerModel, self).call(data[0], training=training)
            for _, data in self._towers((inputs, None, None))
        ]
        with tf.device(CPU):
            return tf.nest.map_structure(
                lambda *outputs: tf.concat(outputs, 0), *towers
            )

    def _towers(
        self, data: tuple[Any, Any, Any]
    ) -> Iterator[tuple[Shard, Any]]:
        """Yields the share and the data of each tower, on its device."""
        count = len(self.devices)
        drawn: Draws = {}
        with tf.device(CPU), tf.name_scope("slices"):
            data = tf.nest.map_structure(as_tensor, data)
            total = batch_size_of(data[0])
            shares = [
                even_shard(number, count, total, drawn)
                for number in range(count)
            ]
        for number, (device, shard) in enumerate(
            zip(self.devices, shares, strict=True)
        ):
            with (
                tf.device(device),
                tf.name_scope(f"tower_{number}"),
                working_on(shard),
            ):
                yield shard, shard.of_batch(data)

    def _build_optimizer(self) -> None:
        with tf.device(CPU):
            super()._build_optimizer()


def added_up(parts: list[GradientResult]) -> GradientResult:
    """Returns the result of the whole batch, out of those of its parts.

    A part of a mean loss has its weight in it already, so that the sum is the
    mean.
    """
    pairs = []
    for of_variable in zip(
        *(part.grads_and_vars for part in parts), strict=True
    ):
        gradients = [
            tf.convert_to_tensor(gradient)
            for gradient, _ in of_variable
            if gradient is not None
        ]
        total = tf.add_n(gradients) if gradients else None
        pairs.append((total, of_variable[0][1]))
    return GradientResult(
        loss=tf.add_n([part.loss for part in parts]),
        outputs=tf.nest.map_structure(
            lambda *outputs: tf.concat(outputs, 0),
            *(part.outputs for part in parts),
        ),
        grads_and_vars=pairs,
    )


def as_tensor(value: Any) -> Any:
    """Returns an array as a tensor, and `None` as it is."""
    return None if value is None else tf.convert_to_tensor(value)
