"""Shapes and inputs of models that have no values yet."""

import keras
import pytest
import tensorflow as tf

from keras_port._support import Shape
from keras_port._support import shape_tuple
from keras_port._support import symbolic_inputs


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (tf.TensorShape((2, None)), (2, None)),
        (tf.TensorShape(()), ()),
        (tf.TensorShape(None), None),
        (tf.TensorShape((None, 3)).as_proto(), (None, 3)),
        ((4, 5), (4, 5)),
    ],
)
def test_a_shape_becomes_a_tuple(shape: object, expected: Shape) -> None:
    assert shape_tuple(shape) == expected


def test_inputs_have_the_structure_of_the_call() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Add()([a, b]))
    assert symbolic_inputs(model).keys() == {"a", "b"}


def test_a_sequential_model_has_one_input() -> None:
    # Without `Input` it has `inputs` after `build`, but no `input`.
    model = keras.Sequential([keras.layers.Dense(3)])
    assert symbolic_inputs(model) is None
    model.build((None, 4))
    assert symbolic_inputs(model).shape == (None, 4)


def test_a_model_without_known_inputs_has_none() -> None:
    assert symbolic_inputs(keras.layers.Dense(3)) is None
