"""A learning rate that rises once and falls once."""

import math
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_port")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Raises the learning rate to a peak and lets it fall to zero.

    A short training reaches further with a rate that would be too high to
    begin or to end with (Smith and Topin, 2018, "Super-Convergence"). The rate
    rises in a straight line from `peak / 25` over the first part of the steps,
    and falls along half a cosine over the rest; after the last step it is 0.

    Args:
        peak: The highest rate, over 0.
        steps: Updates in the cycle, 1 or more.
        rising: Part of the steps in which it rises, in [0, 1). Defaults to
            0.2.

    Raises:
        ValueError: For a `peak` that is not over 0, fewer than one step, or a
            `rising` outside [0, 1).

    Example:

    >>> schedule = keras_port.optimizers.OneCycle(0.003, 500)
    >>> [round(float(schedule(step)), 5) for step in (0, 100, 300, 500)]
    [0.00012, 0.003, 0.0015, 0.0]
    """

    def __init__(self, peak: float, steps: int, *, rising: float = 0.2) -> None:
        if not peak > 0:
            raise ValueError(f"`peak` must be over 0. Received: peak={peak}")
        if steps < 1:
            raise ValueError(
                f"`steps` must be at least 1. Received: steps={steps}"
            )
        if not 0 <= rising < 1:
            raise ValueError(
                "`rising` must be at least 0 and below 1. "
                f"Received: rising={rising}"
            )
        self.peak = peak
        self.steps = steps
        self.rising = rising

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the rate of the update after `step` updates."""
        done = tf.minimum(tf.cast(step, tf.float32) / self.steps, 1.0)
        # No division by zero where the rate falls from the first step on.
        rise = done / self.rising if self.rising else tf.ones_like(done)
        up = 1 / 25 + (1 - 1 / 25) * rise
        fallen = (done - self.rising) / (1 - self.rising)
        down = (1 + tf.cos(math.pi * fallen)) / 2
        return self.peak * tf.where(done < self.rising, up, down)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this schedule again."""
        return {"peak": self.peak, "steps": self.steps, "rising": self.rising}
