"""The one check of integer arguments."""

import operator
from typing import Any

import numpy as np

INT64_MAX = 2**63 - 1


def check_integer(
    name: str,
    value: Any,
    *,
    minimum: int = 1,
    maximum: int | None = None,
    note: str = "",
) -> int:
    """Returns an argument as an `int`, or says why it is not one.

    NumPy integers are integers; bools and floats are not, even where they
    equal one.

    Args:
        name: Name of the argument.
        value: Value that the user passed.
        minimum: Smallest value that is accepted. Defaults to 1.
        maximum: Largest value that is accepted. Defaults to `None`: no limit.
        note: Follows the rule in the message, such as `", in steps"`.
            Defaults to `""`.

    Raises:
        ValueError: If `value` is not an integer or is out of range.
    """
    try:
        # NumPy 1 takes its own bools as an index, with a warning.
        is_bool = isinstance(value, bool | np.bool_)
        number = None if is_bool else operator.index(value)
    except TypeError:
        number = None
    in_range = number is not None and (
        minimum <= number and (maximum is None or number <= maximum)
    )
    if number is None or not in_range:
        raise ValueError(
            f"`{name}` must be {describe_range(minimum, maximum)}{note}. "
            f"Received: {name}={value!r}"
        )
    return number


def describe_range(minimum: int, maximum: int | None) -> str:
    """Returns a range of integers in words."""
    if maximum is not None:
        return f"an integer from {minimum} to {maximum}"
    return (
        "a positive integer"
        if minimum == 1
        else f"an integer of {minimum} or more"
    )
