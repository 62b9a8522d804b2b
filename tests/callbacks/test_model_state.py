"""The values of a snapshot are those of its step, however late it is read."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks._model_state import ModelState
from keras_port.callbacks._model_state import record_variable
from tests.small import small_batches
from tests.small import small_model


@pytest.mark.parametrize("steps_per_execution", [1, 5])
def test_later_steps_leave_the_values_alone(steps_per_execution: int) -> None:
    model = small_model(optimizer="adam")
    model.steps_per_execution = steps_per_execution
    model.fit(small_batches(), steps_per_epoch=5, verbose=0)
    variables = [one for one, _ in ModelState(model).list_variables()]
    records = [record_variable(variable) for variable in variables]
    then = [tf.convert_to_tensor(v).numpy() for v in variables]
    model.fit(small_batches(), steps_per_epoch=10, verbose=0)
    changed = 0
    for record, value, variable in zip(records, then, variables, strict=True):
        np.testing.assert_array_equal(record["value"], value)
        changed += not np.array_equal(variable.numpy(), value)
    assert changed >= len(model.trainable_variables)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int64", "uint32"])
@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize("of_keras", [True, False])
def test_a_value_stays_when_the_variable_is_assigned(
    dtype: str, shape: tuple[int, ...], of_keras: bool
) -> None:
    ones = tf.ones(shape, dtype)
    variable: Any = (
        keras.Variable(ones, dtype=dtype) if of_keras else tf.Variable(ones)
    )
    record = record_variable(variable)
    assert record["value"].dtype == ones.dtype.as_numpy_dtype
    variable.assign(tf.zeros(shape, dtype))
    assert record["value"].shape == shape
    assert record["value"].all()
