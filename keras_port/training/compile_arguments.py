"""Refuses arguments of `GradientModel.compile` that cannot be meant."""

import keras

from keras_port._support import check_integer


def check_clipnorm(global_clipnorm: float | None) -> None:
    """Raises unless the limit of the norm is `None` or positive."""
    if global_clipnorm is not None and not global_clipnorm > 0:
        raise ValueError(
            "`global_clipnorm` must be positive, or None for no limit. "
            f"Received: global_clipnorm={global_clipnorm}"
        )


def check_accumulation(steps: int | None) -> None:
    """Raises unless the number of batches is `None` or a positive integer."""
    if steps is not None:
        check_integer("gradient_accumulation_steps", steps, note=", or None")


def check_accumulated_once(
    steps: int | None, optimizer: keras.optimizers.Optimizer | None
) -> None:
    """Raises if the optimizer accumulates gradients that are accumulated."""
    # Under `mixed_float16` the optimizer is the one inside.
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if steps and getattr(inner, "gradient_accumulation_steps", None):
        raise ValueError(
            "`gradient_accumulation_steps` is given to both `compile` and "
            "the optimizer, and would be multiplied. Give it to one."
        )
