"""Several small batches train as one large batch would."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.losses import CourseCrossEntropy
from keras_port.training import GradientModel
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model

UPDATES = 12


def batches(size: int) -> tf.data.Dataset:
    """Returns the same 144 examples in the same order, in batches of a size."""
    x, y = small_arrays(12 * UPDATES)
    # Batches of a different weight, so that the norm of the gradients changes.
    x *= np.linspace(0.2, 3, len(x))[:, None].astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def trained(size: int, steps: int | None, **options: Any) -> GradientModel:
    model = small_model(gradient_accumulation_steps=steps, **options)
    model.fit(batches(size), verbose=0)
    return model


@pytest.mark.fault("B45")
@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(0.01, weight_decay=0.1),
        keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1),
    ],
    ids=lambda optimizer: optimizer.name,
)
@pytest.mark.parametrize(
    ("loss", "limit"),
    [
        (keras.losses.SparseCategoricalCrossentropy(), 1.0),
        (CourseCrossEntropy("sum"), 12.0),
    ],
    ids=["mean", "sum"],
)
def test_three_batches_of_four_are_one_of_twelve(
    optimizer: keras.optimizers.Optimizer, loss: Any, limit: float
) -> None:
    norms: list[float] = []

    def note(pairs: Sequence[Any]) -> None:
        norm = tf.linalg.global_norm([gradient for gradient, _ in pairs])
        tf.py_function(lambda value: norms.append(float(value)), [norm], [])

    def options() -> dict[str, Any]:
        copy = type(optimizer).from_config(optimizer.get_config())
        return {"optimizer": copy, "loss": loss, "global_clipnorm": limit}

    start = small_model().get_weights()
    whole = trained(12, None, gradient_observers=[note], **options())
    parts = trained(4, 3, **options())
    # Some updates are limited and some are not; where all are, a factor in
    # the gradients would not show.
    assert min(norms) < limit < max(norms)
    assert int(whole.optimizer.iterations) == UPDATES
    assert int(parts.optimizer.iterations) == UPDATES
    assert np.abs(whole.get_weights()[0] - start[0]).max() > 0.01
    for left, right in zip(
        whole.get_weights(), parts.get_weights(), strict=True
    ):
        # The row's limit; what is left is the order of float32 additions.
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)


@pytest.mark.fault("B45")
def test_the_loss_in_the_history_is_that_of_all_examples() -> None:
    def loss(size: int, steps: int | None) -> float:
        model = small_model(
            optimizer=keras.optimizers.SGD(0.0),
            gradient_accumulation_steps=steps,
        )
        history = model.fit(batches(size), verbose=0).history
        return float(history["loss"][0])

    assert loss(4, 3) == pytest.approx(loss(12, None), rel=1e-6)


def test_weights_change_at_the_last_batch_only() -> None:
    model = small_model(gradient_accumulation_steps=3)
    changed = []
    for x, y in batches(4).take(6):
        before = model.get_weights()
        model.apply_gradients(model.compute_gradients(x, y).grads_and_vars)
        changed.append(not same_weights(before, model.get_weights()))
    assert changed == [False, False, True, False, False, True]
    assert int(model.optimizer.iterations) == 2


def test_what_waits_goes_on_in_the_next_fit() -> None:
    model = small_model(gradient_accumulation_steps=3)
    for _ in range(3):
        model.fit(batches(4).take(1), verbose=0)
    assert int(model.optimizer.iterations) == 1
