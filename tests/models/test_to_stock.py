"""A model of stock layers that computes the same, and needs no package."""

import json
from pathlib import Path
import subprocess
import sys
from typing import Any
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import layers
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.models import to_stock
from keras_port.training import GradientModel


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Returns five images in [0, 1]."""
    generator = np.random.default_rng(1)
    return generator.random((5, 784), dtype="float32")


def assert_same(model: keras.Model, stock: keras.Model, x: Any) -> None:
    """Compares the outputs, and looks for classes of this package."""
    np.testing.assert_array_equal(
        model.predict(x, verbose=0), stock.predict(x, verbose=0)
    )
    text = json.dumps(keras.saving.serialize_keras_object(stock))
    assert "keras_port" not in text
    for layer in stock._flatten_layers():
        assert type(layer).__module__.startswith("keras.")


@pytest.mark.fault("E9")
@pytest.mark.parametrize("build", [build_cnn, build_perceptron])
def test_the_course_models_have_the_same_outputs(
    build: Any, images: np.ndarray
) -> None:
    model = build()
    model.set_weights(
        [
            np.random.default_rng(2).normal(0, 0.1, w.shape)
            for w in model.weights
        ]
    )
    stock = to_stock(model)
    assert_same(model, stock, images)
    own = [layer.name for layer in model.layers]
    assert [layer.name for layer in stock.layers] == [
        name for name in own if name != "pixels"
    ]
    assert stock.name == model.name
    assert not stock.compiled


@pytest.mark.fault("E9")
def test_the_weights_are_copies(images: np.ndarray) -> None:
    model = build_perceptron()
    stock = to_stock(model)
    stock.set_weights([w + 1 for w in stock.get_weights()])
    assert not np.asarray(model.weights[0]).any()


def shared_and_branched() -> keras.Model:
    """Returns a model with two branches, sums, and a layer that is shared."""
    inputs = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    dense = layers.TransposedGradientDense(4, activation="tanh")
    checked = [layers.PixelRangeCheck()(one) for one in inputs]
    left, right = dense(checked[0]), dense(dense(checked[1]))
    both = left * 2 + keras.ops.relu(right)
    last = keras.layers.Dense(2, name="last")(layers.Dropout(0.3)(both))
    return GradientModel(inputs, [last, left])


def nested() -> keras.Model:
    """Returns a model around another one of this package."""
    inputs = keras.Input((784,))
    body = build_perceptron(classifier_activation=None)
    body.trainable = False
    return GradientModel(inputs, keras.layers.Dense(2)(body(inputs)))


def wrapped() -> keras.Model:
    """Returns a model whose wrappers hold a layer and a model of this one."""
    inputs = keras.Input((3, 4))
    dense = layers.TransposedGradientDense(784, activation="sigmoid")
    x = keras.layers.TimeDistributed(dense)(inputs)
    return GradientModel(
        inputs, keras.layers.TimeDistributed(build_perceptron())(x)
    )


def sequential() -> keras.Model:
    """Returns a sequential model."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.PixelRangeCheck(),
            layers.TransposedGradientDense(6, lora_rank=2),
            layers.Dropout(keep_prob=0.5),
            keras.layers.BatchNormalization(),
        ]
    )


@pytest.mark.fault("E9")
@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (shared_and_branched, [(4,), (4,)]),
        (nested, [(784,)]),
        (wrapped, [(3, 4)]),
        (sequential, [(4,)]),
    ],
)
def test_other_models_have_the_same_outputs(build: Any, shapes: Any) -> None:
    model = build()
    generator = np.random.default_rng(3)
    model.set_weights(
        [generator.random(np.shape(w)) for w in model.get_weights()]
    )
    x = [generator.random((2, *shape), "float32") for shape in shapes]
    x = x[0] if len(x) == 1 else x
    stock = to_stock(model)
    for one, other in zip(
        tf.nest.flatten(model(x)), tf.nest.flatten(stock(x)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert len(stock.trainable_weights) == len(model.trainable_weights)
    assert "keras_port" not in json.dumps(
        keras.saving.serialize_keras_object(stock)
    )


@pytest.mark.fault("E9", "C44")
def test_a_saved_model_loads_without_the_package(
    tmp_path: Path, images: np.ndarray
) -> None:
    model = build_cnn()
    stock = to_stock(model)
    stock.save(tmp_path / "stock.keras")
    stock.save_weights(tmp_path / "stock.weights.h5")
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model('stock.keras')\n"
        "model.load_weights('stock.weights.h5')\n"
        "np.save('out.npy', model.predict(np.load('images.npy'), verbose=0))\n"
        "assert 'keras_port' not in sys.modules"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_array_equal(
        np.load(tmp_path / "out.npy"), model.predict(images, verbose=0)
    )
    with zipfile.ZipFile(tmp_path / "stock.keras") as archive:
        assert b"keras_port" not in archive.read("config.json")


def test_a_model_that_is_not_built_is_refused() -> None:
    with pytest.raises(ValueError, match="is not built yet"):
        to_stock(keras.Sequential([layers.Dropout(0.5)]))


def test_a_model_with_its_own_call_is_refused() -> None:
    class Own(GradientModel):
        def call(self, x: Any) -> Any:
            return x

    model = Own(name="own")
    model(np.zeros((1, 2), "float32"))
    with pytest.raises(ValueError, match="'own' is a subclass with a `call`"):
        to_stock(model)


@pytest.mark.parametrize("build", [build_cnn, build_perceptron])
def test_the_check_of_the_pixels_can_be_left_out(
    build: Any, images: np.ndarray
) -> None:
    free, checked = build(check_pixels=False), build()
    free.set_weights(checked.get_weights())
    assert "pixels" not in [layer.name for layer in free.layers]
    np.testing.assert_array_equal(free(images), checked(images))
    assert np.isfinite(free(images * 300 - 10)).all()
    whole = np.round(images * 255).astype("uint8")
    np.testing.assert_array_equal(free(whole), checked(whole))
    with pytest.raises(ValueError, match="Pixels must be from 0 to 1"):
        checked(images * 300)


def test_an_export_takes_uint8_images(
    tmp_path: Path, images: np.ndarray
) -> None:
    model = build_cnn()
    inputs = keras.Input((784,), dtype="uint8", name="images")
    served = keras.Model(inputs, model(inputs))
    served.export(tmp_path / "served", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    whole = np.round(images * 255).astype("uint8")
    # A graph and eager operations may round differently.
    np.testing.assert_allclose(loaded.serve(whole), model(whole), atol=1e-6)
