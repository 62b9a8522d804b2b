"""TensorFlow 1's Adam, in one operation per variable."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_port")
class Adam(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Updates as `tf.compat.v1.train.AdamOptimizer` does, with its kernel.

    The formula is that of `keras.optimizers.Adam`, with TensorFlow 1's default
    epsilon: with `t` the number of the update,

        lr_t = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient^2
        variable -= lr_t * m / (sqrt(v) + epsilon)

    (Kingma and Ba, 2014, the form before section 2.1 with "epsilon hat"). Keras
    computes it with about a dozen operations, each of which reads the memory
    once; TensorFlow's `ResourceApplyAdam` is one operation. For the course's
    CNN on a CPU, reading the memory is most of the update's time
    (`benchmarks/`).

    Args:
        learning_rate: Step size, a float or a schedule. Defaults to 0.001.
        beta_1: Decay of `m`, in [0, 1). Defaults to 0.9.
        beta_2: Decay of `v`, in [0, 1). Defaults to 0.999.
        epsilon: Added to the root. Defaults to 1e-8, as in TensorFlow 1;
            that of `keras.optimizers.Adam` is 1e-7.
        name: Name of the optimizer. Defaults to `None`: `"adam"`, or
            `"adam_1"` and so on for the next ones in the process.
        **kwargs: As for every Keras optimizer: `weight_decay`, `clipnorm`,
            `global_clipnorm`, `use_ema` and the like.

    Raises:
        ValueError: For a decay outside [0, 1).

    Example:

    >>> model.compile(optimizer=keras_port.optimizers.Adam(1e-4), loss="mse")
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for key, decay in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= decay < 1:
                raise ValueError(
                    f"`{key}` must be at least 0 and below 1. "
                    f"Received: {key}={decay}"
                )
        super().__init__(learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Sequence[keras.Variable | tf.Variable]) -> None:
        """Creates the two slots of every variable."""
        if self.built:
            return
        super().build(variables)
        momentums, velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        # Every device has a copy of a variable and of its slots.
        slots = {
            copy.ref(): pair
            for trio in zip(variables, momentums, velocities, strict=True)
            if trio[1] is not None  # Keras overwrites it, as a scale of float8.
            for copy, *pair in zip(*map(copies, trio), strict=True)
        }
        # A function, because `tf.train.Checkpoint` rejects a dictionary whose
        # keys are not strings.
        self._slots_of = slots.__getitem__

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any
    ) -> None:
        """Updates one variable and its slots by its gradient."""
        dtype = variable.dtype
        momentum, velocity = self._slots_of(variable.ref())
        update = tf.cast(self.iterations + 1, dtype)
        beta_1 = tf.constant(self.beta_1, dtype)
        beta_2 = tf.constant(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(beta_1, update),
            beta2_power=tf.pow(beta_2, update),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            # An embedding's sparse gradient becomes a dense one.
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments to create this optimizer again."""
        config: dict[str, Any] = super().get_config()
        config.update(
            beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon
        )
        return config


def copies(variable: keras.Variable | tf.Variable) -> tuple[tf.Variable, ...]:
    """Returns the copies of a variable on the devices of this process."""
    strategy = tf.distribute.get_strategy()
    raw = variable if isinstance(variable, tf.Variable) else variable.value
    found: tuple[tf.Variable, ...] = strategy.experimental_local_results(raw)
    return found
