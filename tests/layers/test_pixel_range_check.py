"""Pixels are scaled once: by us when they are integers, else by the user."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.layers import PixelRangeCheck
from keras_port.losses import CourseCrossEntropy
from keras_port.models import ImageModel
from keras_port.models import build_cnn
from keras_port.models import build_perceptron

MESSAGE = (
    r"Pixels must be from 0 to 1\. Divide float images by 255 once, or give "
    r"the model the uint8 images, which it scales itself\. Received: an image "
    r"with smallest and largest pixel {}\b"
)


def perceptron() -> ImageModel:
    """Returns a compiled perceptron of zeros."""
    model = build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(0.1), loss=CourseCrossEntropy()
    )
    return model


def images(splits: datasets.Splits) -> tuple[np.ndarray, np.ndarray]:
    """Returns 200 rows of uint8 pixels, 0 to 255, and their labels."""
    part = splits.train[:200]
    return part.images.reshape(200, 784), part.labels.astype("int64")


@pytest.mark.fault("B71")
def test_floats_over_1_are_refused_by_the_layer() -> None:
    x = np.array([[0, 0.5], [0, 0]], "float32")
    layer = PixelRangeCheck()
    np.testing.assert_array_equal(layer(x), x)
    for pixel, shown in (
        (255, "0, 255"),
        (1.001, "0, 1.001"),
        (-0.5, "-0.5, 0"),
        (np.nan, "nan, nan"),
    ):
        x[0, 1] = pixel
        with pytest.raises(ValueError, match=MESSAGE.format(shown)):
            layer(x)


def predict(model: ImageModel, x: np.ndarray, y: np.ndarray) -> Any:
    return model.predict(x, verbose=0)


def call(model: ImageModel, x: np.ndarray, y: np.ndarray) -> Any:
    return model(x)


def fit(model: ImageModel, x: np.ndarray, y: np.ndarray) -> Any:
    return model.fit(x, y, shuffle=False, verbose=0).history["loss"]


def fit_dataset(model: ImageModel, x: np.ndarray, y: np.ndarray) -> Any:
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    return model.fit(dataset, verbose=0).history["loss"]


def evaluate(model: ImageModel, x: np.ndarray, y: np.ndarray) -> Any:
    return model.evaluate(x, y, verbose=0)


def gradients(model: ImageModel, x: np.ndarray, y: np.ndarray) -> Any:
    return [g.numpy() for g, _ in model.compute_gradients(x, y).grads_and_vars]


WAYS = [call, predict, fit, fit_dataset, evaluate, gradients]


@pytest.mark.fault("B71")
@pytest.mark.parametrize("way", WAYS)
def test_floats_up_to_255_are_refused_by_the_model(
    way: Callable[..., Any], mnist: datasets.Splits
) -> None:
    x, y = images(mnist)
    model = perceptron()
    with pytest.raises(ValueError, match=MESSAGE.format("0, 25[45]")):
        way(model, x.astype("float32"), y)
    assert not any(weight.any() for weight in model.get_weights())


@pytest.mark.fault("B71")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "dtype", ["uint8", pytest.param("int64", marks=pytest.mark.slow)]
)
def test_integers_are_scaled_once(
    way: Callable[..., Any], dtype: str, mnist: datasets.Splits
) -> None:
    x, y = images(mnist)
    by_us, by_hand = perceptron(), perceptron()
    # Weights that are not zeros, so that outputs depend on pixels.
    kernel = np.random.default_rng(1).normal(size=(784, 10))
    for model in (by_us, by_hand):
        model.get_layer("fc").kernel.assign(0.01 * kernel)
    ours = way(by_us, x.astype(dtype), y)
    expected = way(by_hand, x.astype("float32") / 255, y)
    for left, right in zip(
        tf.nest.flatten(ours), tf.nest.flatten(expected), strict=True
    ):
        np.testing.assert_array_equal(left, right)
    # Scaled twice, or not at all, would show.
    twice = way(perceptron(), x.astype("float32") / 255**2, y)
    assert any(
        (np.asarray(left) != np.asarray(right)).any()
        for left, right in zip(
            tf.nest.flatten(ours), tf.nest.flatten(twice), strict=True
        )
    )


@pytest.mark.fault("B71")
def test_the_cnn_checks_and_scales_too(mnist: datasets.Splits) -> None:
    x, _ = images(mnist)
    model = build_cnn()
    np.testing.assert_array_equal(
        model(x[:2]), model(x[:2].astype("float32") / 255)
    )
    with pytest.raises(ValueError, match=MESSAGE.format("0, 25[45]")):
        model.predict(x[:2].astype("float32"), verbose=0)


def test_an_empty_batch_passes() -> None:
    assert PixelRangeCheck()(np.zeros((0, 4), "float32")).shape == (0, 4)


def test_config_makes_the_same_layer() -> None:
    layer = PixelRangeCheck(name="mine")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(again) is PixelRangeCheck
    assert again.get_config() == layer.get_config()


def test_shape_stays() -> None:
    inputs = keras.Input((28, 28, 1))
    assert PixelRangeCheck()(inputs).shape == (None, 28, 28, 1)
