"""Adam's powers tell the step count, to the last one."""

import numpy as np
import pytest

from keras_port.tf1.checkpoint._step_count import compute_power
from keras_port.tf1.checkpoint._step_count import compute_powers
from keras_port.tf1.checkpoint._step_count import find_step_count


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999])
def test_every_step_is_told_until_the_power_is_too_small(beta: float) -> None:
    table = compute_powers(beta, 87_000)
    normal = int(np.sum(table >= np.finfo("float32").tiny))
    for step in {0, 1, 2, 99, 10_900, normal // 2, normal - 2, normal - 1}:
        if step < normal:
            assert find_step_count(table[step], beta) == step
            assert compute_power(beta, step) == table[step]


def test_the_powers_are_multiplied_one_by_one_in_float32() -> None:
    expected = beta = np.float32(0.999)
    for _ in range(10_000):
        expected = expected * beta
    assert compute_power(0.999, 10_000) == expected
    # Which the plain formula would not give.
    assert expected != np.float32(np.float64(beta) ** 10_001)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1.0, 2.0, np.nan])
def test_what_tells_no_step_is_none(value: float) -> None:
    assert find_step_count(np.asarray(value, "float32"), 0.999) is None


def test_a_power_of_another_beta_is_none() -> None:
    assert find_step_count(np.asarray(0.95, "float32"), 0.9) is None


def test_a_power_that_was_computed_otherwise_is_told_too() -> None:
    assert find_step_count(np.asarray(0.999**1001, "float32"), 0.999) == 1000


def test_float64_powers_are_told() -> None:
    assert (
        find_step_count(compute_powers(0.999, 501, "float64")[500], 0.999)
        == 500
    )


def test_after_the_limit_the_power_is_0() -> None:
    assert compute_power(0.999, 10**9) == 0
