"""A step count as TensorFlow 1's Adam keeps it: as powers of its betas."""

import math

import numpy as np

# In float32, 0.999 to this power is 0: no count can be read any more.
LIMIT = 105_000


def powers(beta: float, count: int, dtype: str = "float32") -> np.ndarray:
    """Returns `beta`, `beta` squared and so on, `count` of them.

    Multiplied one by one in the variable's own precision, as TensorFlow 1
    does, so that they equal those of a file to the last bit.
    """
    return np.multiply.accumulate(np.full(count, beta, dtype))


def power_at(beta: float, step: int) -> np.float32:
    """Returns the power that Adam holds after `step` updates, in float32."""
    if step >= LIMIT:
        return np.float32(0)
    value: np.float32 = powers(beta, step + 1)[-1]
    return value


def step_of(power: np.ndarray, beta: float) -> int | None:
    """Returns after how many updates Adam holds this power of `beta`.

    Returns:
        The count, or `None` if the power has come too close to 0 to tell, or
        is no power of `beta`.
    """
    value = float(power)
    dtype = np.dtype(power.dtype)
    if not 0 < beta < 1 or not is_readable(power):
        return None
    rounded = float(dtype.type(beta))
    estimate = math.log(value) / math.log(rounded) - 1
    step = round(estimate)
    # The sum of the rounding errors reaches whole steps after some 10,000
    # updates, so the list itself is asked first.
    margin = 10 + step // 1000
    table = powers(beta, max(step, 0) + margin, dtype.name)
    exact = np.flatnonzero(table == power)
    if exact.size:
        return int(exact[0])
    # Written by something that computes the power in another way.
    return step if step >= 0 and abs(estimate - step) < 0.25 else None


def is_readable(power: np.ndarray) -> bool:
    """Tells whether a power is large enough to tell its step count."""
    return bool(np.finfo(power.dtype).tiny <= power < 1)
