"""Lesson 1's perceptron: what it is before any training."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_port.models import ImageModel
from keras_port.models import build_perceptron
from keras_port.training import GradientModel


def test_it_is_a_gradient_model_of_one_dense_layer() -> None:
    model = build_perceptron()
    assert isinstance(model, ImageModel)
    assert isinstance(model, GradientModel)
    assert model.name == "perceptron"
    assert model.input_shape == (None, 784)
    assert model.output_shape == (None, 10)
    assert model.count_params() == 7_850
    assert [v.path for v in model.weights] == ["fc/kernel", "fc/bias"]
    assert model.get_layer("fc").kernel.shape == (784, 10)


def test_weights_start_as_zeros_and_all_classes_alike() -> None:
    model = build_perceptron()
    assert not any(weight.any() for weight in model.get_weights())
    images = np.random.default_rng(1).random((3, 784), "float32")
    np.testing.assert_array_equal(model(images), np.full((3, 10), 0.1, "f"))


def test_it_is_the_softmax_of_a_product() -> None:
    model = build_perceptron(num_classes=3)
    generator = np.random.default_rng(2)
    weights = [generator.normal(size=w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    images = generator.random((5, 784), "float32")
    logits = images @ weights[0] + weights[1]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    # Sums of 784 products in float32.
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-6)
    plain = build_perceptron(num_classes=3, classifier_activation=None)
    plain.set_weights(weights)
    np.testing.assert_allclose(plain(images), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 28, 1), [28, 28]])
def test_each_shape_of_images_has_the_same_parameters(shape: Any) -> None:
    model = build_perceptron(input_shape=shape, name="mine")
    assert model.input_shape == (None, *shape)
    assert model.count_params() == 7_850
    assert model.name == "mine"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"input_shape": (28, 28, 3)}, r"`input_shape` must be one of .*784"),
        ({"input_shape": (783,)}, r"Received: input_shape=\(783,\)"),
        ({"num_classes": 1}, "`num_classes` must be an integer of 2 or more"),
        ({"num_classes": 2.5}, r"Received: num_classes=2\.5"),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        build_perceptron(**options)


def test_arguments_have_names() -> None:
    with pytest.raises(TypeError):
        build_perceptron((784,))  # type: ignore[misc]


def test_two_models_share_nothing() -> None:
    first, second = build_perceptron(), build_perceptron()
    first.get_layer("fc").bias.assign(np.ones(10))
    assert not second.get_layer("fc").bias.numpy().any()
    assert isinstance(first.get_layer("fc"), keras.layers.Dense)
