"""Pixels are scaled once, to the last bit alike in NumPy and TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from keras_port.datasets import scale_pixels

ALL_VALUES = np.arange(256, dtype=np.uint8)
EXPECTED = ALL_VALUES.astype(np.float32) / np.float32(255)


def as_array(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values


FORMS: dict[str, Callable[[npt.NDArray[Any]], Any]] = {
    "array": as_array,
    "tensor": tf.constant,
    "variable": tf.Variable,
}
FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def in_dataset(values: tf.Tensor) -> tf.Tensor:
    dataset = tf.data.Dataset.from_tensors(values).map(scale_pixels)
    return next(iter(dataset))


def in_eager_mode(values: tf.Tensor) -> tf.Tensor:
    return scale_pixels(values)


def in_function(values: tf.Tensor) -> tf.Tensor:
    return tf.function(scale_pixels)(values)


def in_open_function(values: tf.Tensor) -> tf.Tensor:
    signature = [tf.TensorSpec([None], values.dtype)]
    return tf.function(scale_pixels, input_signature=signature)(values)


def in_compiled_function(values: tf.Tensor) -> tf.Tensor:
    return tf.function(scale_pixels, jit_compile=True)(values)


def in_session(values: tf.Tensor) -> tf.Tensor:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        fed = tf.compat.v1.placeholder(values.dtype, [None])
        return session.run(scale_pixels(fed), {fed: values.numpy()})


MODES = [
    in_eager_mode,
    in_function,
    in_open_function,
    in_compiled_function,
    in_dataset,
    in_session,
]


@pytest.mark.fault("B71")
def test_an_array_is_divided_by_255() -> None:
    scaled = scale_pixels(ALL_VALUES)
    np.testing.assert_array_equal(scaled, EXPECTED, strict=True)
    assert scaled.min() == 0
    assert scaled.max() == 1


@pytest.mark.fault("B71")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [tf.uint8, tf.int32, tf.int64])
def test_a_tensor_gives_the_same_bits(
    mode: Callable[[tf.Tensor], tf.Tensor], kind: tf.DType
) -> None:
    # tf.function and XLA turn x / 255 into x * (1 / 255), which differs.
    scaled = mode(tf.cast(ALL_VALUES, kind))
    np.testing.assert_array_equal(np.asarray(scaled), EXPECTED, strict=True)


@pytest.mark.parametrize("kind", ["int8", "int16", "uint16", "int64", "uint64"])
@FORM
def test_other_integers_are_pixels_too(
    form: Callable[[Any], Any], kind: str
) -> None:
    values = ALL_VALUES[:128].astype(kind)
    scaled = scale_pixels(form(values))
    np.testing.assert_array_equal(np.asarray(scaled), EXPECTED[:128])


@pytest.mark.fault("B71")
@FORM
def test_scaling_again_changes_nothing(form: Callable[[Any], Any]) -> None:
    scaled = scale_pixels(scale_pixels(form(ALL_VALUES)))
    np.testing.assert_array_equal(np.asarray(scaled), EXPECTED, strict=True)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@FORM
def test_scaled_floats_become_float32(
    form: Callable[[Any], Any], kind: str
) -> None:
    scaled = np.asarray(scale_pixels(form(np.array([0, 0.25, 1], kind))))
    expected = np.array([0, 0.25, 1], np.float32)
    np.testing.assert_array_equal(scaled, expected, strict=True)


def test_scaled_bfloat16_becomes_float32() -> None:
    tensor = tf.constant([0, 0.25, 1], tf.bfloat16)
    expected = np.array([0, 0.25, 1], np.float32)
    for values in (tensor, tensor.numpy()):
        scaled = np.asarray(scale_pixels(values))
        np.testing.assert_array_equal(scaled, expected, strict=True)


@pytest.mark.fault("B71")
@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.0, 254.0], "from 0.0 to 254.0"),
        ([0.0, 1.0000001], "to 1.0000001"),
        ([-1.0, 1.0], "from -1.0 to 1.0"),
        ([0.5, np.nan], "nan"),
        ([np.inf], "inf"),
    ],
)
@FORM
def test_floats_outside_0_to_1_are_refused(
    form: Callable[[Any], Any], values: list[float], shown: str
) -> None:
    images = form(np.array(values, np.float32))
    with pytest.raises(ValueError, match="of a float dtype must") as caught:
        scale_pixels(images)
    message = str(caught.value)
    assert "`images`" in message
    assert shown in message
    assert "divide floats by 255 once" in message


@pytest.mark.parametrize("values", [[-1, 3], [0, 256]])
@FORM
def test_integers_outside_0_to_255_are_refused(
    form: Callable[[Any], Any], values: list[int]
) -> None:
    images = form(np.array(values, np.int32))
    with pytest.raises(ValueError, match=f"from {values[0]} to {values[1]}"):
        scale_pixels(images)


@pytest.mark.parametrize(
    "values",
    [np.array([True]), np.array([1j]), np.array(["0"]), np.array([None])],
    ids=lambda values: values.dtype.name,
)
def test_what_is_no_number_is_refused(values: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=values.dtype.name):
        scale_pixels(values)


@pytest.mark.parametrize("values", [[True], ["0"], [1j]], ids=str)
def test_a_tensor_that_is_no_number_is_refused(values: list[Any]) -> None:
    tensor = tf.constant(values)
    with pytest.raises(ValueError, match=tensor.dtype.name):
        scale_pixels(tensor)


def test_a_symbolic_float_passes() -> None:
    # Its values are unknown while the graph is built; the models check them.
    assert in_function(tf.constant([2.0])).numpy() == 2


@FORM
def test_no_pixels_are_no_fault(form: Callable[[Any], Any]) -> None:
    for kind in ("uint8", "int32", "float32"):
        scaled = np.asarray(scale_pixels(form(np.zeros((0, 4), kind))))
        assert scaled.shape == (0, 4)
        assert scaled.dtype == np.float32


def test_the_shape_stays() -> None:
    images = np.zeros((2, 3, 4, 1), np.uint8)
    assert scale_pixels(images).shape == images.shape
    assert scale_pixels(tf.constant(images)).shape == images.shape


def test_the_input_is_not_changed() -> None:
    images = ALL_VALUES.copy()
    images.setflags(write=False)
    scale_pixels(images)
    np.testing.assert_array_equal(images, ALL_VALUES)


def test_the_tensor_has_a_gradient_where_it_was_float() -> None:
    pixels = tf.constant([0.5])
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        scaled = scale_pixels(pixels)
    assert tape.gradient(scaled, pixels).numpy() == 1
