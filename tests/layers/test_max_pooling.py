"""Tests of the max pooling that is quicker behind a rectifier."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import layers
from keras_port import models
from keras_port import training
from keras_port._rectifier import moving_rectifiers
from keras_port.losses import CourseCrossEntropy
from keras_port.optimizers import Adam

POOLINGS: dict[str, dict[str, Any]] = {
    "course": {"pool_size": 2},
    "overlapping": {"pool_size": 3, "strides": 2, "padding": "same"},
    "odd": {"pool_size": (2, 3), "padding": "same"},
}


def traced(layer: keras.layers.Layer, move: bool) -> Any:
    """Returns outputs, gradient and types of operations of relu and layer."""
    types: list[str] = []

    @tf.function(autograph=False)
    def step(x: tf.Tensor, upstream: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(tf.nn.relu(x))
        gradient = tape.gradient(y, x, upstream)
        graph = tf.compat.v1.get_default_graph()
        types.extend(operation.type for operation in graph.get_operations())
        return y, gradient

    # Few values, so that many are equal, and windows without a positive one.
    generator = np.random.default_rng(1)
    x = generator.integers(-3, 3, (4, 7, 9, 5)).astype("float32")
    shape = layer.compute_output_shape(x.shape)
    upstream = generator.normal(size=shape).astype("float32")
    if move:
        with moving_rectifiers():
            return *step(x, upstream), types
    return *step(x, upstream), types


@pytest.mark.parametrize("name", POOLINGS)
def test_values_and_gradients_are_those_of_the_stock_layer(name: str) -> None:
    layer = layers.MaxPooling2D(**POOLINGS[name])
    y, gradient, types = traced(layer, move=True)
    stock = keras.layers.MaxPooling2D(**POOLINGS[name])
    expected_y, expected_gradient, _ = traced(stock, move=False)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(gradient, expected_gradient)
    assert np.count_nonzero(gradient)
    # The gradient goes through the second of the two rectifiers.
    assert types.count("Relu") == 2
    assert types.count("ReluGrad") == 1


def test_outside_of_a_step_the_gradient_of_the_rectified_values_is_there() -> (
    None
):
    model = models.build_cnn()
    parts = keras.Model(
        model.input, [model.get_layer("conv2").output, model.output]
    )

    @tf.function(autograph=False)
    def gradient(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            features, outputs = parts(x)
            score = tf.reduce_sum(outputs[:, 3])
        return tape.gradient(score, features)

    assert gradient(np.ones((2, 784), "float32")).shape == (2, 14, 14, 64)


def test_fit_trains_the_cnn_to_the_same_bits() -> None:
    generator = np.random.default_rng(1)
    x = generator.random((40, 784)).astype("float32")
    y = generator.integers(0, 10, 40)
    types: list[list[str]] = []

    def look(pairs: Any) -> None:
        graph = tf.compat.v1.get_default_graph()
        types.append([one.type for one in graph.get_operations()])

    weights = []
    for cls in (models.ImageModel, WithTrainStepOfItsOwn):
        keras.utils.set_random_seed(1)
        cnn = models.build_cnn()
        model = cls(cnn.input, cnn.output)
        model.compile(
            Adam(1e-3), CourseCrossEntropy("sum"), gradient_observers=[look]
        )
        model.fit(x, y, batch_size=10, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    # Two poolings, and only in the loop of ours.
    assert types[0].count("Relu") == types[-1].count("Relu") + 2


class WithTrainStepOfItsOwn(models.ImageModel):
    """Is trained by the loop of Keras."""

    def train_step(self, data: Any) -> Any:
        """Trains on a batch."""
        return training.GradientModel.train_step(self, data)


def test_a_saved_layer_comes_back() -> None:
    layer = layers.MaxPooling2D(3, padding="same", name="pool")
    config = keras.saving.serialize_keras_object(layer)
    loaded = keras.saving.deserialize_keras_object(config)
    assert isinstance(loaded, layers.MaxPooling2D)
    assert loaded.get_config() == layer.get_config()
