"""The check of integers that all parts share."""

import re
from typing import Any

import numpy as np
import pytest

from keras_port._support.validation import check_integer


@pytest.mark.parametrize(
    ("value", "minimum"), [(1, 1), (7, 1), (0, 0), (-2, -2)]
)
def test_an_integer_that_is_large_enough_passes(
    value: int, minimum: int
) -> None:
    assert check_integer("count", value, minimum=minimum) == value


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16"])
def test_a_numpy_integer_becomes_an_int(dtype: str) -> None:
    number = check_integer("count", np.dtype(dtype).type(100))
    assert (number, type(number)) == (100, int)


@pytest.mark.parametrize(
    "value", [0, -1, 2.0, "2", None, True, np.True_, np.float32(2), [2]]
)
def test_any_other_value_is_refused_by_its_name(value: Any) -> None:
    message = f"`count` must be a positive integer. Received: count={value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_integer("count", value)


def test_the_message_tells_the_range_and_the_unit() -> None:
    message = r"^`count` must be an integer of 0 or more, in steps\. Received"
    with pytest.raises(ValueError, match=message):
        check_integer("count", -1, minimum=0, note=", in steps")
    with pytest.raises(ValueError, match=r"an integer from 1 to 9\. Received"):
        check_integer("count", 10, maximum=9)
