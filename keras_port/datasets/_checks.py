"""The one check of whole numbers that all arguments here share."""

import operator
from typing import Any

INT64_MAX = 2**63 - 1


def check_int(name: str, value: Any, least: int, most: int = INT64_MAX) -> int:
    """Returns `value` as an int, or says why it is not one.

    Args:
        name: Name of the argument, for the message.
        value: What the user passed; NumPy integers are welcome.
        least: Smallest value that is accepted.
        most: Largest value that is accepted. Defaults to that of int64.

    Raises:
        TypeError: If `value` is a bool, a float or no number.
        ValueError: If `value` is out of range.
    """
    expected = f"`{name}` must be a whole number from {least} to {most}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    # A bool is an int to Python, and never what somebody means here.
    if number is None or isinstance(value, bool):
        raise TypeError(
            f"{expected}. Received: {value!r} ({type(value).__name__})"
        )
    if not least <= number <= most:
        raise ValueError(f"{expected}. Received: {number}")
    return number
