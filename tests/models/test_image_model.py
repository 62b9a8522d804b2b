"""Images go in in one shape and on one scale, and models come back whole."""

from collections.abc import Callable
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.losses import CourseCrossEntropy
from keras_port.models import ImageModel
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.training import Evaluator
from tests.models.new_process import Loaded
from tests.models.new_process import load_elsewhere
from tests.small import same_weights

Build = Callable[..., ImageModel]
BUILDS = [build_perceptron, build_cnn]
SHAPES = [(784,), (28, 28), (28, 28, 1)]


def compiled(build: Build, **kwargs: Any) -> ImageModel:
    model = build(**kwargs)
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def pixels(count: int) -> np.ndarray:
    """Returns uint8 images of 784 pixels."""
    return np.random.default_rng(3).integers(0, 256, (count, 784), np.uint8)


def distinct_weights(model: ImageModel) -> list[np.ndarray]:
    """Returns small weights of which no two are alike."""
    generator = np.random.default_rng(4)
    return [
        generator.normal(0, 0.05, variable.shape).astype("float32")
        for variable in model.trainable_variables
    ]


def set_trainable(model: ImageModel, weights: list[np.ndarray]) -> None:
    for variable, weight in zip(
        model.trainable_variables, weights, strict=True
    ):
        variable.assign(weight)


@pytest.mark.fault("B70")
@pytest.mark.parametrize("build", BUILDS)
def test_the_three_shapes_give_equal_outputs(build: Build) -> None:
    images = pixels(4)
    outputs = []
    for shape in SHAPES:
        model = build(input_shape=shape)
        set_trainable(model, distinct_weights(model))
        outputs.append(np.array(model(images.reshape(-1, *shape))))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert np.ptp(outputs[0], axis=1).min() > 0.01


@pytest.mark.fault("B70")
@pytest.mark.parametrize("given", SHAPES)
@pytest.mark.parametrize("built", SHAPES)
def test_another_shape_is_an_error_with_the_expected_one(
    built: tuple[int, ...], given: tuple[int, ...]
) -> None:
    images = pixels(2).reshape(-1, *given)
    model = compiled(build_perceptron, input_shape=built)
    if built == given:
        assert model(images).shape == (2, 10)
        return
    expected = ", ".join(map(str, built))
    text = rf"built for images of shape \(batch, {expected}\)\. Received: shape"
    labels = np.zeros(2, "int32")
    for run in (
        lambda: model(images),
        lambda: model.predict(images, verbose=0),
        lambda: model.fit(images, labels, verbose=0),
        lambda: model.evaluate(images, labels, verbose=0),
    ):
        with pytest.raises(ValueError, match=text):
            run()


@pytest.mark.fault("B70")
def test_the_fix_in_the_error_works() -> None:
    model = build_perceptron(input_shape=(28, 28))
    with pytest.raises(ValueError, match=r"`images.reshape\(\(-1, 28, 28\)\)`"):
        model(pixels(2))
    assert model(pixels(2).reshape((-1, 28, 28))).shape == (2, 10)
    with pytest.raises(ValueError, match=r"`images\[np.newaxis\]`"):
        model.predict(np.zeros((28, 28)), verbose=0)


@pytest.mark.fault("B70")
def test_a_wrong_shape_after_a_right_one_is_the_same_error() -> None:
    """Keras traces a second time with an unknown number of axes."""
    model = compiled(build_perceptron)
    model.predict(pixels(2), verbose=0)
    model.evaluate(pixels(2), np.zeros(2, "int32"), verbose=0)
    images = pixels(2).reshape((-1, 28, 28))
    for run in (
        lambda: model.predict(images, verbose=0),
        lambda: model.evaluate(images, np.zeros(2, "int32"), verbose=0),
    ):
        with pytest.raises(ValueError, match=r"Received: shape \(2, 28, 28\)"):
            run()
    model.fit(pixels(2), np.zeros(2, "int32"), verbose=0)
    with pytest.raises(ValueError, match="is not that of an earlier call"):
        model.fit(images, np.zeros(2, "int32"), verbose=0)


@pytest.mark.fault("B71")
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integer_pixels_are_scaled_once(build: Build, dtype: str) -> None:
    model = build()
    set_trainable(model, distinct_weights(model))
    images = pixels(4)
    expected = np.array(model(images.astype("float32") / np.float32(255)))
    whole = images.astype(dtype)
    assert np.ptp(expected, axis=1).min() > 0.01
    np.testing.assert_allclose(model(whole), expected, rtol=1e-6)
    np.testing.assert_allclose(model(tf.constant(whole)), expected, rtol=1e-6)
    np.testing.assert_allclose(
        model.predict(whole, verbose=0), expected, rtol=1e-4
    )


@pytest.mark.fault("B71")
def test_training_scales_integer_pixels_once() -> None:
    images, labels = pixels(32), np.arange(32) % 10
    weights = []
    for x in (images, images / np.float32(255)):
        model = compiled(build_perceptron)
        model.fit(x, labels, batch_size=8, shuffle=False, verbose=0)
        results = model.evaluate(x, labels, verbose=0)
        weights.append([*model.get_weights(), np.array(results)])
    for left, right in zip(*weights, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.fault("B71")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_pixels_over_1_are_refused(dtype: str) -> None:
    model = compiled(build_perceptron)
    images, labels = pixels(4).astype(dtype), np.zeros(4, "int32")
    before = model.get_weights()
    for run in (
        lambda: model(images),
        lambda: model.fit(images, labels, verbose=0),
        lambda: model.evaluate(images, labels, verbose=0),
        lambda: model.predict(images, verbose=0),
    ):
        with pytest.raises(ValueError, match="Pixels must be from 0 to 1"):
            run()
    assert same_weights(before, model.get_weights())
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("kind", ["softmax", None])
def test_a_loss_for_the_other_kind_of_outputs_is_refused(
    kind: str | None,
) -> None:
    model = build_perceptron(classifier_activation=kind)
    fitting = kind is None
    model.compile(loss=CourseCrossEntropy(from_logits=fitting))
    with pytest.raises(ValueError, match=rf"from_logits={fitting}\)`"):
        model.compile(loss=CourseCrossEntropy(from_logits=not fitting))


def test_an_image_model_of_other_layers_compiles() -> None:
    inputs = keras.Input((784,))
    x = keras.layers.Dense(10)(inputs)
    model = ImageModel(inputs, keras.layers.Softmax()(x))
    model.compile(loss=CourseCrossEntropy())
    model.fit(pixels(8), np.arange(8), verbose=0)
    assert int(model.optimizer.iterations) == 1


@dataclasses.dataclass(frozen=True)
class Saved:
    """A trained model in a file, with what it did before it was saved."""

    path: Path
    outputs: np.ndarray
    results: dict[str, float]
    loaded: Loaded


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    """Returns models trained for two steps, saved, and loaded elsewhere."""
    folder = tmp_path_factory.mktemp("models")
    split = datasets.load_mnist().train[:100]
    x, y = split.images.reshape(-1, 784), split.labels.astype("int32")
    models = {
        "perceptron": compiled(build_perceptron),
        "cnn": compiled(build_cnn),
    }
    course = build_perceptron(classifier_activation=None)
    course.compile(
        loss=CourseCrossEntropy("sum", from_logits=True),
        optimizer=keras.optimizers.SGD(1e-3),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3)],
    )
    models["course"] = course
    before = {}
    for name, model in models.items():
        model.fit(x, y, batch_size=50, verbose=0)
        model.save(folder / f"{name}.keras")
        results = model.evaluate(x, y, verbose=0, return_dict=True)
        before[name] = (model.predict(x, verbose=0), results)
    paths = [folder / f"{name}.keras" for name in models]
    loaded = load_elsewhere(paths, x, y)
    return {
        name: Saved(path, *before[name], loaded=one)
        for name, path, one in zip(models, paths, loaded, strict=True)
    }


NAMES = ["perceptron", "cnn", "course"]


@pytest.mark.fault("B22")
@pytest.mark.parametrize("name", NAMES)
def test_a_new_process_predicts_the_same(
    saved: dict[str, Saved], name: str
) -> None:
    one = saved[name]
    assert one.loaded.class_name == "ImageModel"
    assert one.loaded.is_gradient_model
    np.testing.assert_allclose(one.loaded.outputs, one.outputs, rtol=1e-6)
    np.testing.assert_allclose(one.loaded.bare_outputs, one.outputs, rtol=1e-6)


@pytest.mark.fault("B23")
@pytest.mark.parametrize("name", NAMES)
def test_a_new_process_evaluates_the_same(
    saved: dict[str, Saved], name: str
) -> None:
    one = saved[name]
    assert {"loss", "accuracy"} <= set(one.results)
    assert one.loaded.results == pytest.approx(one.results, rel=1e-6)


@pytest.mark.fault("B22")
def test_a_loaded_model_keeps_its_guards(saved: dict[str, Saved]) -> None:
    model = keras.saving.load_model(saved["perceptron"].path)
    assert type(model).__name__ == "ImageModel"
    with pytest.raises(ValueError, match="built for images of shape"):
        model(np.zeros((1, 28, 28), "uint8"))
    with pytest.raises(ValueError, match="Pixels must be from 0 to 1"):
        model(np.full((1, 784), 2, "float32"))
    with pytest.raises(ValueError, match="Labels must be integers"):
        model.fit(pixels(2), np.array([0, 10]), verbose=0)


@pytest.mark.parametrize(
    "loss", [CourseCrossEntropy(), "sparse_categorical_crossentropy"]
)
def test_a_split_is_evaluated_and_predicted(
    small_mnist: datasets.Splits, loss: Any
) -> None:
    model = build_perceptron()
    model.compile(loss=loss, metrics=["accuracy"])
    split = small_mnist.test
    x = split.images.reshape(-1, 784)
    expected = Evaluator(model, split).evaluate()
    found = model.evaluate(split, verbose=0, return_dict=True)
    assert found == pytest.approx(expected)
    np.testing.assert_array_equal(
        model.predict(split, verbose=0), model.predict(x, verbose=0)
    )
