"""A label that is no class is one error, whatever compiles the step."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.datasets import ImageSplit
from keras_port.datasets import shuffled_batches
from keras_port.losses import CourseCrossEntropy
from keras_port.training import GradientModel
from keras_port.training.fit_checks import LabelRange
from keras_port.training.fit_checks import check_labels_in
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model

REFUSED = "Labels must be integers from 0 to 2, because the model has 3 outputs"


def with_label(label: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = small_arrays(16)
    y[3] = label
    return x, y


def as_arrays(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    return {"x": x, "y": y, "batch_size": 8, "shuffle": False}


def as_columns(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    return {"x": x, "y": y[:, None], "batch_size": 8, "shuffle": False}


def as_dataset(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    return {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(8)}


def as_weighted_dataset(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    arrays = (x, y[:, None], np.ones(len(x), "float32"))
    return {"x": tf.data.Dataset.from_tensor_slices(arrays).batch(8)}


@pytest.mark.fault("B49")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "data", [as_arrays, as_columns, as_dataset, as_weighted_dataset]
)
@pytest.mark.parametrize("label", [7, 3, -1])
def test_a_wrong_label_is_an_error_before_step_1(
    jit_compile: bool,
    data: Callable[[np.ndarray, np.ndarray], dict[str, Any]],
    label: int,
) -> None:
    model = small_model(jit_compile=jit_compile)
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"{REFUSED}.*{label}"):
        model.fit(**data(*with_label(label)), verbose=0)
    assert same_weights(before, model.get_weights())
    assert int(model.optimizer.iterations) == 0


@pytest.mark.fault("B49")
@pytest.mark.parametrize(
    "loss",
    [
        CourseCrossEntropy(),
        CourseCrossEntropy("sum"),
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.sparse_categorical_crossentropy,
    ],
    ids=["course", "course sum", "class", "function"],
)
@pytest.mark.parametrize("data", [as_arrays, as_dataset])
def test_every_loss_of_integer_labels_refuses(
    loss: Any, data: Callable[[np.ndarray, np.ndarray], dict[str, Any]]
) -> None:
    model = small_model(loss=loss)
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(**data(*with_label(7)), verbose=0)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("data", [as_arrays, as_columns, as_weighted_dataset])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_right_labels_train_as_in_a_stock_model(
    data: Callable[[np.ndarray, np.ndarray], dict[str, Any]], jit_compile: bool
) -> None:
    arrays = small_arrays(16)
    model = small_model(jit_compile=jit_compile)
    stock = keras.Sequential([keras.Input((4,)), model.layers[-1]])
    stock.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss="sparse_categorical_crossentropy",
    )
    start = model.get_weights()
    model.fit(**data(*arrays), verbose=0)
    weights = model.get_weights()
    model.set_weights(start)
    stock.fit(*arrays, batch_size=8, shuffle=False, verbose=0)
    for left, right in zip(weights, stock.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)


@pytest.mark.fault("B49")
def test_a_wrong_label_later_stops_before_its_step() -> None:
    x, y = small_arrays(16)
    y[12] = 7
    model = small_model()
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(**as_dataset(x, y), verbose=0)
    assert int(model.optimizer.iterations) == 1


@pytest.mark.fault("B49")
@pytest.mark.parametrize("as_data", [as_arrays, as_dataset])
def test_one_hot_rows_are_untouched(as_data: Any) -> None:
    x, y = small_arrays(16)
    rows = keras.utils.to_categorical(y, 3)
    data = as_data(x, rows)
    assert check_labels_in(data["x"], data.get("y"), LabelRange(3)) is data["x"]
    one_hot = small_model(loss=CourseCrossEntropy())
    one_hot.fit(**data, verbose=0)
    integers = small_model(loss=CourseCrossEntropy())
    integers.fit(**as_data(x, y), verbose=0)
    for left, right in zip(
        one_hot.get_weights(), integers.get_weights(), strict=True
    ):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)


def image_split(largest: int) -> ImageSplit:
    labels = np.arange(20, dtype=np.uint8) % (largest + 1)
    return ImageSplit(np.zeros((20, 2, 2), np.uint8), labels)


@pytest.mark.fault("B49")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_our_own_batches_are_refused_before_any_is_read(
    jit_compile: bool,
) -> None:
    model = small_model(jit_compile=jit_compile)
    batches = shuffled_batches(image_split(7), 2, seed=1)
    with pytest.raises(ValueError, match=rf"{REFUSED}.*label 3 at position 3"):
        model.fit(batches, steps_per_epoch=1, verbose=0)
    # Derived from them, they are looked at batch by batch.
    with pytest.raises(ValueError, match=rf"{REFUSED}.*in a batch"):
        model.fit(batches.take(10), verbose=0)


def test_our_own_batches_cost_no_check_in_each_step() -> None:
    batches = shuffled_batches(image_split(2), 2, seed=1)
    assert check_labels_in(batches, None, LabelRange(3)) is batches
    one_hot = shuffled_batches(image_split(7), 2, seed=1, one_hot=True)
    assert check_labels_in(one_hot, None, LabelRange(10)) is one_hot
    model = small_model()
    model.fit(batches, steps_per_epoch=3, verbose=0)
    assert int(model.optimizer.iterations) == 3


def test_a_loss_of_numbers_takes_any_number() -> None:
    inputs = keras.Input((4,))
    model = GradientModel(inputs, keras.layers.Dense(1)(inputs))
    model.compile(optimizer="sgd", loss="mse")
    x, _ = small_arrays(8)
    model.fit(x, np.arange(8.0)[:, None] - 3, verbose=0)
    assert int(model.optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("dtype", "classes"), [("uint8", 256), ("uint8", 300), ("int8", 200)]
)
def test_labels_may_have_a_smaller_dtype_than_the_classes(
    dtype: str, classes: int
) -> None:
    x, y = small_arrays(16)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(classes, activation="softmax")(inputs)
    model = GradientModel(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    labels = y.astype(dtype)
    model.fit(**as_dataset(x, labels), verbose=0)
    if dtype == "int8":
        labels[3] = -1
        with pytest.raises(ValueError, match="Labels must be integers from 0"):
            model.fit(**as_dataset(x, labels), verbose=0)
