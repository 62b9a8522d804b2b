"""Each kind of program is in Keras what it was in its session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from tests.course.course_graphs import assert_agree
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.sessions import RATE
from tests.tf1.graph.sessions import STEPS
from tests.tf1.graph.sessions import Old
from tests.tf1.graph.sessions import run

EARLY, LATE = Mode("ref", "v1"), Mode("resource", "v2")
# In which the second control flow is another program than the first.
FLOWING = (
    programs.while_loop,
    programs.condition,
    programs.nested_loops,
    programs.batch_norm_by_hand,
    programs.recurrent,
    programs.lstm_classifier,
)


def cases() -> list[Any]:
    """Returns each program in each mode; all but the most telling are slow."""
    found = []
    for program in programs.ALL:
        for mode in programs.MODES:
            if (program, mode) == (
                programs.batch_norm_by_hand,
                Mode("ref", "v2"),
            ):
                # TensorFlow cannot assign to a reference in a function.
                continue
            is_quick = mode == EARLY or (mode == LATE and program in FLOWING)
            found.append(
                pytest.param(
                    program,
                    mode,
                    id=f"{program.__name__}-{mode}",
                    marks=[] if is_quick else [pytest.mark.slow],
                )
            )
    return found


@pytest.mark.parametrize(("program", "mode"), cases())
def test_a_program_predicts_and_trains_as_in_its_session(
    program: Callable[[], programs.Built], mode: Mode, tmp_path: Path
) -> None:
    old = run(program, mode, tmp_path)
    layer = GraphLayer(
        old.prefix, inputs=old.inputs, outputs=old.output, constants=old.feeds
    )
    # To the bit: the same operations on the same numbers.
    np.testing.assert_array_equal(layer(inputs_of(old)), old.predicted[0])
    check_gradients(layer, old)
    for name, value in named(layer).items():
        value.assign(old.values[0][name])
    model = functional(layer, old)
    model.compile(keras.optimizers.SGD(RATE), loss="mse")
    model.fit(
        inputs_of(old),
        old.labels,
        batch_size=len(old.labels),
        epochs=STEPS,
        shuffle=False,
        verbose=0,
    )
    for name, value in named(layer).items():
        # Of the largest value; sums are added in another order here and there.
        assert_agree(value.numpy(), old.values[1][name], rtol=1e-5, atol=1e-5)
    moved = [
        np.abs(old.values[0][name] - old.values[1][name]).max()
        for name in named(layer)
    ]
    assert max(moved) > 1e-3, "the session has not trained"
    # What is saved of it elsewhere is a test of its own.
    assert_agree(
        model.predict(inputs_of(old), verbose=0), old.predicted[1], rtol=1e-5
    )


def check_gradients(layer: GraphLayer, old: Old) -> None:
    """Raises unless each gradient is that of `tf.gradients`."""
    variables = [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        error = layer(inputs_of(old), training=True) - old.labels
        loss = tf.reduce_mean(tf.square(error)) + sum(layer.losses)
    gradients = tape.gradient(loss, variables)
    names = [name_of(v) for v in layer.trainable_variables]
    assert set(names) == set(old.gradients)
    for name, gradient in zip(names, gradients, strict=True):
        # It also refuses NaN, on either side.
        assert_agree(
            tf.convert_to_tensor(gradient), old.gradients[name], rtol=1e-5
        )


def named(layer: GraphLayer) -> dict[str, Any]:
    """Returns the layer's variables by their names in TensorFlow 1."""
    return {name_of(variable): variable for variable in layer.weights}


def name_of(variable: Any) -> str:
    """Returns a variable's path without the name of the layer."""
    return str(variable.path.partition("/")[2])


def inputs_of(old: Old) -> Any:
    """Returns the data as the layer takes them."""
    return old.arrays if len(old.arrays) > 1 else old.arrays[0]


def functional(layer: GraphLayer, old: Old) -> keras.Model:
    """Returns a model of nothing but the layer."""
    inputs = [
        keras.Input(array.shape[1:], dtype=str(array.dtype))
        for array in old.arrays
    ]
    one = inputs if len(inputs) > 1 else inputs[0]
    return keras.Model(one, layer(one))
