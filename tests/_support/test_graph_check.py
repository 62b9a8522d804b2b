"""Checks inside graphs that end as a `ValueError`."""

import pytest
import tensorflow as tf

from keras_port._support.graph_check import graph_check
from keras_port._support.graph_check import value_errors


@tf.function
def checked(value: tf.Tensor) -> tf.Tensor:
    check = graph_check(
        tf.reduce_all(value < 3),
        "Too large. Largest, sum:",
        [
            tf.reduce_max(value),
            tf.reduce_sum(value),
        ],
    )
    with tf.control_dependencies([check]):
        return tf.identity(value)


@tf.function
def checked_without_values(value: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([graph_check(value < 3, "Too large.", [])]):
        return tf.identity(value)


def test_what_is_right_passes() -> None:
    with value_errors():
        assert checked(tf.constant([1, 2])).numpy().tolist() == [1, 2]


def test_a_failed_check_is_a_value_error_of_message_and_values() -> None:
    with (
        pytest.raises(ValueError, match="Too large") as raised,
        value_errors(),
    ):
        checked(tf.constant([1, 7]))
    assert str(raised.value) == "Too large. Largest, sum: 7, 8"
    # The runtime's error shows nodes and files that are not the user's.
    assert raised.value.__suppress_context__


def test_values_may_be_none_or_floats() -> None:
    with pytest.raises(ValueError, match=r"^Too large\.$"), value_errors():
        checked_without_values(tf.constant(3))
    with pytest.raises(ValueError, match=r"7\.5, 8\.5$"), value_errors():
        checked(tf.constant([1.0, 7.5]))


def test_a_check_inside_a_dataset_is_found_too() -> None:
    dataset = tf.data.Dataset.range(5).map(checked_without_values)
    read: list[tf.Tensor] = []
    with pytest.raises(ValueError, match="Too large"), value_errors():
        read.extend(dataset)
    assert len(read) == 3


def test_without_the_block_it_stays_the_runtimes_error() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="Too large"):
        checked(tf.constant([7]))


def test_the_errors_of_others_pass_unchanged() -> None:
    @tf.function
    def other(value: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies(
            [tf.debugging.Assert(value < 3, ["Somebody else's"])]
        ):
            return tf.identity(value)

    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="Somebody"),
        value_errors(),
    ):
        other(tf.constant(7))
    error = KeyError("other")
    with pytest.raises(KeyError) as raised, value_errors():
        raise error
    assert raised.value is error
