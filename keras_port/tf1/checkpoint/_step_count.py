"""Converts a step count to the powers of beta that TensorFlow 1 saves."""

import math

import numpy as np

# In float32, 0.999 to this power is 0 and no longer determines a step count.
_LIMIT = 105_000


def compute_powers(
    beta: float, count: int, dtype: str = "float32"
) -> np.ndarray:
    """Returns the first `count` powers of `beta`: `beta`, `beta` squared, ...

    Multiplies one by one in the variable's own precision, as TensorFlow 1
    does, so the powers equal those in a file to the last bit.
    """
    return np.multiply.accumulate(np.full(count, beta, dtype))


def compute_power(
    beta: float, step: int, dtype: str = "float32"
) -> np.floating:
    """Returns the power that Adam holds after `step` updates."""
    if step >= _LIMIT and dtype == "float32":
        return np.float32(0)
    value: np.floating = compute_powers(beta, step + 1, dtype)[-1]
    return value


def find_step_count(power: np.ndarray, beta: float) -> int | None:
    """Returns the number of updates after which Adam holds this power.

    Returns:
        The count, or `None` if the power is too close to 0 to determine it,
        or is not a power of `beta`.
    """
    value = float(power)
    dtype = np.dtype(power.dtype)
    if not 0 < beta < 1 or not determines_step_count(power):
        return None
    rounded = float(dtype.type(beta))
    estimate = math.log(value) / math.log(rounded) - 1
    step = round(estimate)
    # The accumulated rounding errors reach whole steps after some 10,000
    # updates, so the exact powers are compared first.
    margin = 10 + step // 1000
    table = compute_powers(beta, max(step, 0) + margin, dtype.name)
    exact = np.flatnonzero(table == power)
    if exact.size:
        return int(exact[0])
    # Written by a program that computes the power in another way.
    return step if step >= 0 and abs(estimate - step) < 0.25 else None


def determines_step_count(power: np.ndarray) -> bool:
    """Returns whether a power is large enough to determine its step count."""
    return bool(np.finfo(power.dtype).tiny <= power < 1)
