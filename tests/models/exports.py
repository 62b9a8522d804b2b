"""The course's models in the forms in which they leave the package."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from keras_port import datasets
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.models import to_stock

Run = Callable[[np.ndarray], np.ndarray]

FORMS = ("floats", "uint8", "part", "stock")
NAMES = ("cnn", "perceptron")
# Every export of a form, with the model's name first.
EXPORTS = pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in NAMES for form in FORMS]
)
# Without the stock layers, whose graph is that of "floats".
OWN_EXPORTS = pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in NAMES for form in FORMS[:-1]]
)
# A program of another maker adds up in another order: 9e-7 was seen for 100
# images of a trained CNN.
TOLERANCE = 2e-6


def has_litert() -> bool:
    """Tells whether the installed Keras exports to LiteRT."""
    major, minor, *_ = keras.__version__.split(".")
    return (int(major), int(minor)) >= (3, 13)


def build(name: str, form: str) -> keras.Model:
    """Returns a model as it is exported.

    Args:
        name: "cnn" or "perceptron".
        form: "floats" for the model itself, "uint8" for a model that takes
            unscaled pixels, "part" for a larger model that has it as a layer,
            or "stock".
    """
    keras.utils.set_random_seed(1)
    if name == "cnn":
        # The course's weights give probabilities of 0 and 1, which show
        # nothing.
        model = build_cnn(kernel_initializer="he_normal")
    else:
        model = build_perceptron()
        model.layers[-2].kernel.assign(
            np.random.default_rng(1).normal(0, 0.1, (784, 10))
        )
    if form == "uint8":
        inputs = keras.Input((784,), dtype="uint8", name="images")
        return keras.Model(inputs, model(inputs))
    if form == "part":
        inputs = keras.Input((28, 28), name="images")
        inner = model(keras.layers.Reshape((784,))(inputs))
        return keras.Model(inputs, keras.layers.Dense(3)(inner))
    return to_stock(model) if form == "stock" else model


def get_images(form: str, mnist: datasets.Splits) -> np.ndarray:
    """Returns ten test images as a form takes them."""
    images = mnist.test.images[:10].reshape(-1, 784)
    if form == "uint8":
        return images
    floats = datasets.scale_pixels(images)
    return floats.reshape(-1, 28, 28) if form == "part" else floats


def check_outputs(
    model: keras.Model, run: Run, images: np.ndarray, tolerance: float
) -> None:
    """Compares an exported model with the model, for batches of two sizes."""
    expected: Any = model.predict(images, verbose=0)
    assert expected.min() < 0.05 < expected.max() < 0.95 or len(expected[0]) < 4
    for count in (len(images), 1):
        np.testing.assert_allclose(
            run(images[:count]), expected[:count], rtol=0, atol=tolerance
        )


def lite_run(interpreter: Any) -> Run:
    """Returns the function of an interpreter of LiteRT."""
    (where,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(where["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(where["index"], images)
        interpreter.invoke()
        outputs: np.ndarray = interpreter.get_tensor(result["index"])
        return outputs

    return run
