"""The models inside code that knows nothing of this package."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_port.losses import CourseCrossEntropy
from keras_port.models import ImageModel
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from tests.small import same_weights


def learnable(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 images whose class is the brightest of ten stripes."""
    generator = np.random.default_rng(6)
    labels = np.arange(count) % 10
    images = generator.integers(0, 60, (count, 784), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[label * 78 : label * 78 + 78] += 150
    return images, labels.astype("int32")


def trained_perceptron(**kwargs: Any) -> ImageModel:
    model = build_perceptron(**kwargs)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
    model.fit(*learnable(), verbose=0)
    return model


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_as_a_layer_of_another_model(tmp_path: Path, dtype: str) -> None:
    inner = trained_perceptron()
    inputs = keras.Input((784,), dtype=dtype)
    outer = keras.Model(inputs, keras.layers.Dense(2)(inner(inputs)))
    images, labels = learnable()
    x = images if dtype == "uint8" else images / np.float32(255)
    before = inner.get_weights()
    features = keras.Model(inputs, outer.layers[-1].input)
    np.testing.assert_allclose(features(x), inner(images), rtol=1e-5, atol=1e-7)
    outer.compile("sgd", "mse")
    outer.fit(x, np.eye(2)[labels % 2], verbose=0)
    assert not same_weights(before, inner.get_weights())
    outer.save(tmp_path / "outer.keras")
    loaded = keras.saving.load_model(tmp_path / "outer.keras")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), outer.predict(x, verbose=0), rtol=1e-6
    )


def test_in_a_sequential_model() -> None:
    inner = trained_perceptron()
    flatten = keras.layers.Reshape((784,))
    model = keras.Sequential([keras.Input((28, 28)), flatten, inner])
    images, _ = learnable()
    x = (images / np.float32(255)).reshape(-1, 28, 28)
    np.testing.assert_allclose(model(x), inner(images), rtol=1e-5, atol=1e-7)


def test_as_a_feature_extractor_up_to_the_dense_layer() -> None:
    model = build_cnn()
    features = keras.Model(model.input, model.get_layer("fc1").output)
    x = learnable(4)[0] / np.float32(255)
    values = np.array(features(x))
    assert values.shape == (4, 1024)
    weights = model.get_layer("fc2").get_weights()
    scores = keras.activations.softmax(values @ weights[0] + weights[1])
    np.testing.assert_allclose(scores, model(x), rtol=1e-4, atol=1e-6)
    assert features.get_layer("conv1") is model.get_layer("conv1")


@pytest.mark.parametrize(
    ("loss", "metrics", "one_hot"),
    [
        (
            "sparse_categorical_crossentropy",
            ["accuracy", "sparse_top_k_categorical_accuracy"],
            False,
        ),
        (
            keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
            [keras.metrics.CategoricalAccuracy(), keras.metrics.AUC()],
            True,
        ),
        ("mse", ["mae"], True),
    ],
    ids=["sparse", "smoothed", "mse"],
)
def test_with_stock_losses_and_metrics(
    loss: Any, metrics: list[Any], one_hot: bool
) -> None:
    images, labels = learnable()
    targets = keras.utils.to_categorical(labels, 10) if one_hot else labels
    model = build_perceptron()
    model.compile("adam", loss=loss, metrics=metrics)
    history = model.fit(images, targets, epochs=3, verbose=0).history
    assert len(history) == 1 + len(metrics)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize("build", [build_perceptron, build_cnn])
def test_cloned(build: Any) -> None:
    model = build()
    clone = keras.models.clone_model(model)
    assert isinstance(clone, ImageModel)
    assert clone.count_params() == model.count_params()
    clone.set_weights(model.get_weights())
    images, labels = learnable(4)
    np.testing.assert_array_equal(clone(images), model(images))
    clone.compile("sgd", CourseCrossEntropy())
    before = model.get_weights()
    clone.fit(images, labels, verbose=0)
    assert same_weights(before, model.get_weights())
    assert not same_weights(before, clone.get_weights())


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_saved_and_loaded(tmp_path: Path, name: str) -> None:
    model = trained_perceptron()
    images, _ = learnable()
    if name.endswith(".weights.h5"):
        model.save_weights(tmp_path / name)
        loaded = build_perceptron()
        loaded.load_weights(tmp_path / name)
    else:
        model.save(tmp_path / name)
        loaded = keras.saving.load_model(tmp_path / name)
    np.testing.assert_array_equal(loaded(images), model(images))


def test_from_json_alone() -> None:
    model = keras.models.model_from_json(build_perceptron().to_json())
    assert isinstance(model, ImageModel)
    assert model(learnable(2)[0]).shape == (2, 10)


def test_by_stock_fit_with_stock_callbacks(tmp_path: Path) -> None:
    model = build_perceptron()
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    ended: list[int] = []
    callbacks = [
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", save_best_only=True
        ),
        keras.callbacks.ReduceLROnPlateau(
            monitor="val_accuracy", patience=1, min_delta=1.0, factor=0.5
        ),
        keras.callbacks.EarlyStopping(
            monitor="val_accuracy", patience=4, min_delta=1.0
        ),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: ended.append(epoch)
        ),
    ]
    data = learnable()
    history = model.fit(
        *data, epochs=20, validation_data=data, callbacks=callbacks, verbose=0
    ).history
    # The first epoch is the best one, as no other is better by 1.
    assert ended == [0, 1, 2, 3, 4]
    assert history["val_accuracy"][-1] > 0.9
    assert float(model.optimizer.learning_rate) == pytest.approx(
        0.01 * 0.5**4, rel=1e-6
    )
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 6
    best = keras.saving.load_model(tmp_path / "best.keras")
    loss = best.evaluate(*data, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(min(history["val_loss"]), rel=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_under_a_mixed_policy(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    model = trained_perceptron()
    images, labels = learnable()
    assert all(w.dtype == "float32" for w in model.trainable_variables)
    outputs = model.predict(images, verbose=0)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-6)
    assert model.get_layer("fc").compute_dtype == policy.removeprefix("mixed_")
    model.fit(images, labels, epochs=20, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] > 0.9


@pytest.mark.parametrize("build", [build_perceptron, build_cnn])
def test_logits_of_three_classes(build: Any) -> None:
    images, labels = learnable(6)
    model = build(classifier_activation=None, num_classes=3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.fit(images, labels % 3, verbose=0)
    assert model.output_shape == (None, 3)
    outputs = model.predict(images, verbose=0)
    assert not np.allclose(outputs.sum(axis=1), 1)
    course = CourseCrossEntropy(from_logits=True)
    value = float(course(labels % 3, outputs))
    assert value == pytest.approx(
        float(loss(labels % 3, outputs)) / 3, rel=1e-5
    )


def test_with_an_activation_of_ones_own() -> None:
    model = build_perceptron(classifier_activation=keras.activations.sigmoid)
    np.testing.assert_array_equal(
        model(learnable(2)[0]), np.full((2, 10), 0.5, "float32")
    )
