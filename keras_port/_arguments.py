"""Checks of arguments that several parts take.

A private module of the top, so that every part may import it.
"""

from typing import Any


def check_integer(
    name: str, value: Any, *, least: int = 1, note: str = ""
) -> None:
    """Raises `ValueError` unless an argument is an integer, and large enough.

    Args:
        name: Name of the argument.
        value: What it was given.
        least: Smallest number that is right. Defaults to 1.
        note: Stands behind the rule, such as `", in steps"`. Defaults to none.
    """
    if isinstance(value, int) and value >= least:
        return
    rule = "a positive integer"
    if least != 1:
        rule = f"an integer of {least} or more"
    raise ValueError(
        f"`{name}` must be {rule}{note}. Received: {name}={value!r}"
    )
