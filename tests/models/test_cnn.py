"""Lesson 3's convolutional network: what it is before any training."""

from typing import Any
import warnings

import keras
import numpy as np
import pytest

from keras_port.layers import Dropout
from keras_port.models import ImageModel
from keras_port.models import build_cnn
from keras_port.models import to_stock

SHAPES = {
    "conv1/kernel": (5, 5, 1, 32),
    "conv1/bias": (32,),
    "conv2/kernel": (5, 5, 32, 64),
    "conv2/bias": (64,),
    "fc1/kernel": (7 * 7 * 64, 1024),
    "fc1/bias": (1024,),
    "fc2/kernel": (1024, 10),
    "fc2/bias": (10,),
}


def test_it_has_the_courses_variables_by_their_names() -> None:
    model = build_cnn()
    assert isinstance(model, ImageModel)
    assert model.name == "cnn"
    assert model.input_shape == (None, 784)
    assert model.output_shape == (None, 10)
    assert {v.path: tuple(v.shape) for v in model.trainable_variables} == SHAPES
    assert model.count_params() == 3_274_634


def test_weights_start_from_a_normal_distribution_cut_at_two_deviations() -> (
    None
):
    model = build_cnn()
    for variable in model.trainable_variables:
        values = variable.numpy()
        if variable.name == "bias":
            assert not values.any()
            continue
        assert np.abs(values).max() <= 0.2
        assert abs(values.mean()) < 4 * 0.088 / np.sqrt(values.size)
        # Cut at two of them, a standard deviation of 1 becomes 0.8796.
        tolerance = 3 / np.sqrt(values.size)
        assert values.std() == pytest.approx(0.08796, rel=tolerance)
    kernel = model.get_layer("fc1").kernel.numpy()
    assert np.abs(kernel).max() > 0.199


def test_the_seed_decides_the_weights() -> None:
    def kernel() -> np.ndarray:
        return build_cnn().get_layer("conv1").kernel.numpy()

    keras.utils.set_random_seed(1)
    first, second = kernel(), kernel()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(kernel(), first)
    assert not np.array_equal(first, second)


def test_the_layers_are_the_courses() -> None:
    model = build_cnn()
    for name, side, channels in (("conv1", 28, 32), ("conv2", 14, 64)):
        layer = model.get_layer(name)
        assert layer.activation is keras.activations.relu
        assert layer.output.shape == (None, side, side, channels)
    assert model.get_layer("pool2").output.shape == (None, 7, 7, 64)
    assert model.get_layer("fc1").activation is keras.activations.relu
    assert isinstance(model.get_layer("dropout"), Dropout)
    assert model.get_layer("dropout").rate == 0.5
    assert build_cnn(dropout_rate=0.25).get_layer("dropout").rate == 0.25


def test_dropout_is_active_in_training_only() -> None:
    model = build_cnn()
    images = np.full((2, 784), 0.5, "float32")
    np.testing.assert_array_equal(model(images), model(images))
    first = np.array(model(images, training=True))
    assert not np.array_equal(first, model(images, training=True))
    without = build_cnn(dropout_rate=0.0)
    without.set_weights(
        [variable.numpy() for variable in model.trainable_variables]
    )
    np.testing.assert_allclose(
        without(images, training=True), model(images), rtol=1e-5, atol=1e-7
    )


def test_outputs_are_probabilities_or_logits() -> None:
    images = np.random.default_rng(1).random((4, 784), "float32")
    model = build_cnn(num_classes=3)
    outputs = np.array(model(images))
    assert outputs.shape == (4, 3)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
    plain = build_cnn(num_classes=3, classifier_activation=None)
    plain.set_weights(model.get_weights())
    logits = np.array(plain(images))
    np.testing.assert_allclose(
        keras.activations.softmax(logits), outputs, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"input_shape": (784, 1)}, "`input_shape` must be one of"),
        ({"num_classes": 0}, "Received: num_classes=0"),
        ({"dropout_rate": 1.0}, "`rate` must be at least 0 and below 1"),
        ({"dropout_rate": -0.1}, r"Received: rate=-0\.1"),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        build_cnn(**options)


def test_other_initial_weights_on_request() -> None:
    keras.utils.set_random_seed(1)
    model = build_cnn(kernel_initializer="he_normal")
    for name, fan_in in (("conv1", 25), ("conv2", 800), ("fc1", 3136)):
        kernel = model.get_layer(name).kernel.numpy()
        # 800 values and more: the deviation is known to some per cent.
        assert kernel.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
    # Layers of one shape must not begin with the same weights.
    given = keras.initializers.HeNormal(seed=3)
    first, second = (
        build_cnn(kernel_initializer=given).get_layer(name).kernel.numpy()
        for name in ("conv1", "conv2")
    )
    assert not np.array_equal(first[:, :, 0], second[:, :, 0, :32])


def test_what_is_no_initializer_is_refused() -> None:
    with pytest.raises(ValueError, match="nitializer"):
        build_cnn(kernel_initializer="he_normall")
    with pytest.raises(ValueError, match="`kernel_initializer` must be"):
        build_cnn(kernel_initializer=lambda shape, dtype: 0)


@pytest.mark.fault("C39", "E8")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_both_dense_layers_quantize(mode: str) -> None:
    model = build_cnn()
    stock = to_stock(model)
    with warnings.catch_warnings():
        # Keras warns of every layer that has nothing to quantize.
        warnings.simplefilter("ignore")
        model.quantize(mode)
        stock.quantize(mode)
    for name in ("fc1", "fc2"):
        one, other = model.get_layer(name), stock.get_layer(name)
        assert one.quantization_mode == mode
        assert one.dtype_policy.name == other.dtype_policy.name
    x = np.random.default_rng(1).random((4, 784), "float32")
    np.testing.assert_array_equal(model(x), stock(x))
