"""The check of arguments that several parts take."""

import re
from typing import Any

import pytest

from keras_port._arguments import check_integer


@pytest.mark.parametrize(("value", "least"), [(1, 1), (7, 1), (0, 0), (-2, -2)])
def test_an_integer_that_is_large_enough_passes(value: int, least: int) -> None:
    check_integer("count", value, least=least)


@pytest.mark.parametrize("value", [0, -1, 2.0, "2", None])
def test_any_other_value_is_refused_by_its_name(value: Any) -> None:
    message = f"`count` must be a positive integer. Received: count={value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_integer("count", value)


def test_the_message_tells_the_least_number_and_the_unit() -> None:
    message = r"^`count` must be an integer of 0 or more, in steps\. Received"
    with pytest.raises(ValueError, match=message):
        check_integer("count", -1, least=0, note=", in steps")
