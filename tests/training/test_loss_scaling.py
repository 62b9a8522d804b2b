"""Loss scaling under `mixed_float16` neither shrinks nor spoils updates."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_port.training import GradientModel
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train


def model_of(policy: str, **kwargs: Any) -> GradientModel:
    keras.config.set_dtype_policy(policy)
    return small_model(**kwargs)


def step_of(policy: str, **kwargs: Any) -> tuple[GradientModel, np.ndarray]:
    """Trains one step with a rate of 1; returns how the weights changed."""
    model = model_of(policy, optimizer=keras.optimizers.SGD(1.0), **kwargs)
    before = model.get_weights()
    train(model, [], steps=1)
    changes = [
        (new - old).ravel()
        for old, new in zip(before, model.get_weights(), strict=True)
    ]
    return model, np.concatenate(changes)


@pytest.mark.fault("B43")
@pytest.mark.parametrize(
    "options",
    [{}, {"global_clipnorm": 0.1}, {"gradient_accumulation_steps": 1}],
    ids=["plain", "clipped", "accumulated"],
)
def test_a_step_in_float16_is_that_in_float32(options: dict[str, Any]) -> None:
    _, single = step_of("float32", **options)
    mixed_model, mixed = step_of("mixed_float16", **options)
    assert isinstance(
        mixed_model.optimizer, keras.optimizers.LossScaleOptimizer
    )
    assert np.abs(single).max() > 0.01
    np.testing.assert_allclose(mixed, single, rtol=0, atol=1e-3)


@pytest.mark.fault("B43")
def test_twenty_steps_in_float16_are_those_in_float32() -> None:
    single = model_of("float32")
    train(single, [], steps=20)
    # The first scale, 2 ** 15, overflows here: see the next test.
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.05), initial_scale=2.0**10
    )
    mixed = model_of("mixed_float16", optimizer=optimizer)
    train(mixed, [], steps=20)
    assert mixed.skipped_updates == 0
    for left, right in zip(
        single.get_weights(), mixed.get_weights(), strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-3)


@pytest.mark.fault("B43")
def test_each_step_is_an_update_or_a_skipped_one() -> None:
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.05), initial_scale=2.0**18
    )
    mixed = model_of("mixed_float16", optimizer=optimizer)
    train(mixed, [], steps=10)
    assert mixed.skipped_updates > 0
    assert int(mixed.optimizer.iterations) == 10 - mixed.skipped_updates


@pytest.mark.fault("B43")
def test_the_pairs_are_gradients_of_the_loss_itself() -> None:
    x, y = small_arrays(8)
    expected = model_of("float32").compute_gradients(x, y)
    mixed = model_of("mixed_float16").compute_gradients(x, y)
    assert float(mixed.loss) == pytest.approx(float(expected.loss), abs=1e-3)
    for (left, _), (right, _) in zip(
        mixed.grads_and_vars, expected.grads_and_vars, strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-3)


def test_a_fixed_factor_scales_both_ways() -> None:
    _, expected = step_of("float32")
    optimizer = keras.optimizers.SGD(1.0, loss_scale_factor=1024.0)
    model = small_model(optimizer=optimizer)
    before = model.get_weights()
    train(model, [], steps=1)
    changes = [
        (new - old).ravel()
        for old, new in zip(before, model.get_weights(), strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(changes), expected, atol=1e-6)
    assert model.skipped_updates == 0


@pytest.mark.fault("B43")
def test_an_inf_gradient_is_skipped_and_reported() -> None:
    model = model_of("mixed_float16")
    x, y = small_arrays(8)
    model.fit(x, y, batch_size=8, verbose=0)
    before = model.get_weights()
    scale = float(model.optimizer.dynamic_scale)
    # Beyond the largest number of float16, 65,504.
    model.fit(x * 1e6, y, batch_size=8, verbose=0)
    assert same_weights(before, model.get_weights())
    assert model.skipped_updates == 1
    assert int(model.optimizer.iterations) == 1
    assert float(model.optimizer.dynamic_scale) == scale / 2
    model.fit(x, y, batch_size=8, verbose=0)
    assert not same_weights(before, model.get_weights())
    assert model.skipped_updates == 1


def test_an_inf_spoils_only_the_update_that_it_is_accumulated_in() -> None:
    model = model_of("mixed_float16", gradient_accumulation_steps=2)
    before = model.get_weights()
    x, y = small_arrays(8)
    for scale in (1, 1e6):
        model.fit(x * scale, y, batch_size=8, verbose=0)
    assert same_weights(before, model.get_weights())
    assert model.skipped_updates == 1
    for _ in range(2):
        model.fit(x, y, batch_size=8, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert not same_weights(before, model.get_weights())
    assert model.skipped_updates == 1


def test_waiting_for_an_update_is_not_skipping_it() -> None:
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model = model_of("mixed_float16", optimizer=optimizer)
    train(model, [], steps=4)
    assert model.skipped_updates == 0
