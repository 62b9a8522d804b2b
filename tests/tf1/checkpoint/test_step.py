"""Adam's powers tell the step count, to the last one."""

import numpy as np
import pytest

from keras_port.tf1.checkpoint.step import power_at
from keras_port.tf1.checkpoint.step import powers
from keras_port.tf1.checkpoint.step import step_of


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999])
def test_every_step_is_told_until_the_power_is_too_small(beta: float) -> None:
    table = powers(beta, 87_000)
    normal = int(np.sum(table >= np.finfo("float32").tiny))
    for step in {0, 1, 2, 99, 10_900, normal // 2, normal - 2, normal - 1}:
        if step < normal:
            assert step_of(table[step], beta) == step
            assert power_at(beta, step) == table[step]


def test_the_powers_are_multiplied_one_by_one_in_float32() -> None:
    expected = beta = np.float32(0.999)
    for _ in range(10_000):
        expected = expected * beta
    assert power_at(0.999, 10_000) == expected
    # Which the plain formula would not give.
    assert expected != np.float32(np.float64(beta) ** 10_001)


@pytest.mark.parametrize("value", [0.0, 1e-40, 1.0, 2.0, np.nan])
def test_what_tells_no_step_is_none(value: float) -> None:
    assert step_of(np.asarray(value, "float32"), 0.999) is None


def test_a_power_of_another_beta_is_none() -> None:
    assert step_of(np.asarray(0.95, "float32"), 0.9) is None


def test_a_power_that_was_computed_otherwise_is_told_too() -> None:
    assert step_of(np.asarray(0.999**1001, "float32"), 0.999) == 1000


def test_float64_powers_are_told() -> None:
    assert step_of(powers(0.999, 501, "float64")[500], 0.999) == 500


def test_after_the_limit_the_power_is_0() -> None:
    assert power_at(0.999, 10**9) == 0
