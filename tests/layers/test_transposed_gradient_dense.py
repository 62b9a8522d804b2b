"""Tests of the dense layer with the quick gradient."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import layers

# The fewest that have the quick gradient.
UNITS = 256


def twins(
    **kwargs: Any,
) -> tuple[layers.TransposedGradientDense, keras.layers.Dense]:
    """Returns our layer and the stock one with the same weights."""
    ours, stock = (
        layers.TransposedGradientDense(UNITS, **kwargs),
        keras.layers.Dense(UNITS, **kwargs),
    )
    for layer in (ours, stock):
        layer.build((None, 4))
    stock.set_weights(
        [np.random.default_rng(1).normal(size=w.shape) for w in stock.weights]
    )
    ours.set_weights(stock.get_weights())
    return ours, stock


def outputs_and_gradients(
    layer: keras.layers.Layer, x: tf.Tensor, upstream: tf.Tensor
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * upstream)
    return y, tape.gradient(loss, [x, *layer.trainable_variables])


@pytest.fixture(params=["eager", "graph"])
def computed(request: pytest.FixtureRequest) -> Any:
    if request.param == "eager":
        return outputs_and_gradients
    return tf.function(outputs_and_gradients, autograph=False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (1, 4), (300, 4), (2, 5, 4)])
def test_values_and_gradients_are_those_of_the_stock_layer(
    shape: tuple[int, ...], use_bias: bool, dtype: str, computed: Any
) -> None:
    ours, stock = twins(use_bias=use_bias, activation="relu", dtype=dtype)
    generator = np.random.default_rng(2)
    x = tf.constant(generator.normal(size=shape), ours.variable_dtype)
    upstream = generator.normal(size=(*shape[:-1], UNITS))
    upstream = tf.constant(upstream, ours.compute_dtype)

    y, gradients = computed(ours, x, upstream)
    expected, expected_gradients = computed(stock, x, upstream)

    np.testing.assert_array_equal(y, expected)
    assert len(gradients) == (3 if use_bias else 2)
    for gradient, expected_gradient in zip(
        gradients, expected_gradients, strict=True
    ):
        # Sums of up to 300 products of values of about 1, added in another
        # order; other types than float32 are the stock layer's own.
        np.testing.assert_allclose(
            gradient,
            expected_gradient,
            rtol=2e-6 if dtype == "float32" else 0,
            atol=2e-5 if dtype == "float32" else 0,
        )


def test_second_gradients_are_those_of_the_stock_layer() -> None:
    x = tf.constant([[1.0, -2.0, 3.0, 0.5]])
    norms = []
    for layer in twins(activation="tanh"):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(layer(x))
            norm = tf.reduce_sum(inner.gradient(y, x) ** 2)
        norms.append(outer.gradient(norm, [x, layer.kernel.value]))
    for ours, stock in zip(*norms, strict=True):
        # Sums of 256 values, some of which nearly cancel.
        np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize(
    ("batch", "quick"), [(1, True), (256, True), (257, False), (None, True)]
)
def test_small_batches_have_the_transposed_product(
    batch: int | None, quick: bool
) -> None:
    layer = layers.TransposedGradientDense(UNITS)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec((batch, 4), tf.float32)],
    )
    def gradient(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, x)

    operations = gradient.get_concrete_function().graph.get_operations()
    # After the product, not before it: a transposed product is one operation.
    assert ("Transpose" in {op.type for op in operations}) == quick


def test_operations_of_the_gradient_stand_in_the_scope_of_the_layer() -> None:
    layer = layers.TransposedGradientDense(UNITS, name="fc1")

    @tf.function(autograph=False)
    def gradient(x: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            y = layer(x)
        return tape.gradient(y, layer.trainable_variables)

    graph = gradient.get_concrete_function(tf.ones((2, 4))).graph
    products = [op.name for op in graph.get_operations() if op.type == "MatMul"]
    assert products[0].startswith("fc1")
    assert len(products) == 3
    for name in products[1:]:
        assert name.startswith(f"gradient_tape/{products[0]}/")


def test_model_with_the_layer_is_saved_and_loaded(
    tmp_path: pathlib.Path,
) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), layers.TransposedGradientDense(UNITS)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.layers[0], layers.TransposedGradientDense)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_lora_trains_as_in_the_stock_layer() -> None:
    ours, stock = twins()
    x = tf.ones((2, 4))
    gradients = []
    for layer in (ours, stock):
        layer.enable_lora(2)
        for weight in layer.trainable_variables:
            weight.assign(tf.ones(weight.shape))
        gradients.append(
            outputs_and_gradients(layer, x, tf.ones((2, UNITS)))[1]
        )
    assert len(gradients[0]) == len(gradients[1]) == 4
    for left, right in zip(*gradients, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6)


def test_few_units_have_the_plain_product() -> None:
    layer = layers.TransposedGradientDense(UNITS - 1)
    graph = tf.function(layer).get_concrete_function(tf.ones((2, 4))).graph
    assert "IdentityN" not in {op.type for op in graph.get_operations()}


@pytest.mark.fault("C39", "E8", "P15")
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
@pytest.mark.parametrize("lora", [False, True])
def test_it_quantizes_as_the_stock_layer(
    mode: str, lora: bool, tmp_path: pathlib.Path
) -> None:
    x = np.random.default_rng(3).random((5, 4), "float32")
    outputs = []
    for layer in twins(activation="relu"):
        layer.quantize(mode)
        if lora and mode != "float8":
            layer.enable_lora(2)
            layer.lora_kernel_a.assign(np.ones(layer.lora_kernel_a.shape))
            layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
        assert layer.dtype_policy.name.endswith("_from_float32")
        model = keras.Sequential([keras.Input((4,)), layer])
        outputs.append(np.asarray(model(x)))
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.layers[0].quantization_mode == mode
        if not lora:  # Keras merges LoRA into the kernel and quantizes again.
            np.testing.assert_array_equal(loaded(x), outputs[-1])
    np.testing.assert_array_equal(*outputs)


@pytest.mark.fault("P15")
def test_a_subclass_does_not_quantize_as_in_keras() -> None:
    class Other(layers.TransposedGradientDense):
        pass

    layer = Other(3)
    layer.build((None, 4))
    with pytest.raises(NotImplementedError, match="Other"):
        layer.quantize("int8")
    layer.quantize("int8", type_check=False)
    assert layer.quantization_mode == "int8"
