"""Losses and state that a forward pass changes, on several devices."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import distribution
from keras_port import training


class AddsMean(keras.layers.Layer):
    """Adds a loss that depends on the examples, as a VAE does."""

    def call(self, x: Any) -> Any:
        self.add_loss(keras.ops.mean(x**2))
        return x


def divides_activity_losses() -> bool:
    """Tells whether Keras divides `activity_regularizer` by the examples."""
    layer = keras.layers.Dense(
        1,
        activity_regularizer=keras.regularizers.L2(1.0),
        kernel_initializer="ones",
    )
    layer(np.ones((2, 1)))
    return float(layer.losses[0]) == 1.0


@pytest.mark.fault("C29")
@pytest.mark.parametrize("kind", ["activity", "add_loss", "weights"])
@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
@pytest.mark.parametrize(
    "rows", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))]
)
@pytest.mark.usefixtures("float64")
def test_added_losses_weigh_like_the_loss(
    kind: str, reduction: str, rows: int
) -> None:
    if kind == "activity" and not divides_activity_losses():
        pytest.skip("Keras adds a sum over the examples")
    x = np.random.default_rng(0).random((rows, 4)) + 1

    def fit(devices: int) -> tuple[float, float, np.ndarray]:
        def build() -> Any:
            keras.utils.set_random_seed(1)
            regularizer = keras.regularizers.L2(1.0)
            inputs = keras.Input((4,))
            dense = keras.layers.Dense(
                3,
                activity_regularizer=regularizer
                if kind == "activity"
                else None,
                kernel_regularizer=regularizer if kind == "weights" else None,
            )
            hidden = dense(inputs)
            if kind == "add_loss":
                hidden = AddsMean()(hidden)
            model = training.GradientModel(
                inputs, keras.layers.Dense(1)(hidden)
            )
            model.compile(
                keras.optimizers.SGD(0.01),
                keras.losses.MeanSquaredError(reduction=reduction),
            )
            return model

        if devices == 1:
            model = build()
        else:
            with distribution.mirrored_strategy(devices).scope():
                model = build()
        model.fit(x, x[:, :1], batch_size=rows, shuffle=False, verbose=0)
        loss = model.evaluate(x, x[:, :1], batch_size=rows, verbose=0)
        return model.batch_loss, loss, model.get_weights()[0]

    for one, two in zip(fit(1), fit(2), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-12)


@pytest.mark.fault("P19")
def test_a_loss_of_one_number_is_refused_on_several_devices() -> None:
    def scalar(y: Any, y_pred: Any) -> Any:
        return tf.reduce_mean((y - y_pred) ** 2)

    x = np.ones((8, 4), "float32")
    with distribution.mirrored_strategy(2).scope():
        inputs = keras.Input((4,))
        model = training.GradientModel(inputs, keras.layers.Dense(1)(inputs))
        model.compile("sgd", scalar)
    with pytest.raises(ValueError, match="one number for the whole batch"):
        model.fit(x, x[:, :1], verbose=0)


@pytest.mark.fault("C30")
@pytest.mark.parametrize("rows", [4, 3, 1])
def test_moving_statistics_are_those_of_the_whole_batch(
    rows: int, tmp_path: Any
) -> None:
    x = np.random.default_rng(0).random((rows, 3), "float32")
    with distribution.mirrored_strategy(2).scope():
        inputs = keras.Input((3,))
        norm = keras.layers.BatchNormalization(momentum=0.0, name="norm")
        frozen = keras.layers.BatchNormalization(name="frozen")
        outputs = keras.layers.Dense(1)(frozen(norm(inputs)))
        frozen.trainable = False
        model = training.GradientModel(inputs, outputs)
        model.compile("sgd", "mse")
    before = [w.numpy() for w in frozen.weights]
    model.fit(x, x[:, :1], batch_size=4, shuffle=False, verbose=0)
    first, second = (copy.numpy() for copy in norm.moving_mean.value.values)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, x.mean(0), rtol=1e-6)
    for old, new in zip(before, frozen.weights, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.get_layer("norm").moving_mean.numpy(), first
    )
