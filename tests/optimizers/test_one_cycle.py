"""The learning rate rises once and falls once."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.optimizers import Adam
from keras_port.optimizers import OneCycle


def test_rate_of_each_step_is_that_of_the_formula() -> None:
    schedule = OneCycle(0.5, 20, rising=0.25)
    for step in range(25):
        if step < 5:
            expected = 0.5 * (1 / 25 + 24 / 25 * step / 5)
        else:
            part = min((step - 5) / 15, 1)
            expected = 0.5 * (1 + math.cos(math.pi * part)) / 2
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-7)


def test_rate_can_fall_from_the_first_step_on() -> None:
    schedule = OneCycle(0.5, 4, rising=0)
    rates = [float(schedule(tf.constant(step))) for step in range(5)]
    assert rates[0] == 0.5
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-8)


def test_an_optimizer_uses_it_and_is_made_again() -> None:
    optimizer = Adam(OneCycle(0.5, 4, rising=0.5))
    config = keras.saving.serialize_keras_object(optimizer)
    copy = keras.saving.deserialize_keras_object(config)
    weights = []
    for adam in (optimizer, copy):
        variable = keras.Variable([1.0])
        for _ in range(3):
            adam.apply([tf.constant([2.0])], [variable])
        weights.append(variable.numpy())
    np.testing.assert_array_equal(*weights)
    # Adam moves by about the rate, here those of steps 0, 1 and 2.
    rates = 0.5 * (1 / 25 + (1 / 25 + 12 / 25) + 1)
    assert weights[0] == pytest.approx(1 - rates, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"peak": 0, "steps": 5}, "peak"),
        ({"peak": math.nan, "steps": 5}, "peak"),
        ({"peak": 0.1, "steps": 0}, "steps"),
        ({"peak": 0.1, "steps": 5, "rising": 1}, "rising"),
        ({"peak": 0.1, "steps": 5, "rising": -0.1}, "rising"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, float], named: str
) -> None:
    with pytest.raises(ValueError, match=f"`{named}` must be"):
        OneCycle(**arguments)
