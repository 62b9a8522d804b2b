"""Every kind of program computes in Keras what it computed in its session."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from tests.course_graphs import assert_agree
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.sessions import RATE
from tests.tf1.graph.sessions import STEPS
from tests.tf1.graph.sessions import Old
from tests.tf1.graph.sessions import run

EARLY, LATE = Mode("ref", "v1"), Mode("resource", "v2")
# Programs that the second control flow builds in another way, two of four.
FLOWING = (programs.nested_loops, programs.batch_norm_by_hand)


def cases() -> list[Any]:
    """Returns every program in every mode; most of them are slow."""
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
        old.prefix,
        inputs=old.inputs,
        outputs=old.output,
        constants=old.constants,
    )
    # Bit-equal: the same operations on the same numbers.
    np.testing.assert_array_equal(layer(get_inputs(old)), old.predicted[0])
    check_gradients(layer, old)
    for name, value in variables_by_name(layer).items():
        value.assign(old.values[0][name])
    model = make_functional(layer, old)
    model.compile(keras.optimizers.SGD(RATE), loss="mse")
    model.fit(
        get_inputs(old),
        old.labels,
        batch_size=len(old.labels),
        epochs=STEPS,
        shuffle=False,
        verbose=0,
    )
    for name, value in variables_by_name(layer).items():
        # Relative to the largest value: sums are added in another order.
        assert_agree(value.numpy(), old.values[1][name], rtol=1e-5, atol=1e-5)
    moved = [
        np.abs(old.values[0][name] - old.values[1][name]).max()
        for name in variables_by_name(layer)
    ]
    assert max(moved) > 1e-3, "the session has not trained"
    assert_agree(
        model.predict(get_inputs(old), verbose=0), old.predicted[1], rtol=1e-5
    )


def check_gradients(layer: GraphLayer, old: Old) -> None:
    """Checks every gradient against that of `tf.gradients`."""
    variables = [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        error = layer(get_inputs(old), training=True) - old.labels
        loss = tf.reduce_mean(tf.square(error)) + sum(layer.losses)
    gradients = tape.gradient(loss, variables)
    names = [get_name(v) for v in layer.trainable_variables]
    assert set(names) == set(old.gradients)
    for name, gradient in zip(names, gradients, strict=True):
        # NaN on either side fails too.
        assert_agree(
            tf.convert_to_tensor(gradient), old.gradients[name], rtol=1e-5
        )


def variables_by_name(layer: GraphLayer) -> dict[str, Any]:
    """Returns the layer's variables by their names in TensorFlow 1."""
    return {get_name(variable): variable for variable in layer.weights}


def get_name(variable: Any) -> str:
    """Returns a variable's path without the name of the layer."""
    return str(variable.path.partition("/")[2])


def get_inputs(old: Old) -> Any:
    """Returns the data in the form that the layer takes."""
    return old.arrays if len(old.arrays) > 1 else old.arrays[0]


def make_functional(layer: GraphLayer, old: Old) -> keras.Model:
    """Returns a model that consists of the layer only."""
    inputs = [
        keras.Input(array.shape[1:], dtype=str(array.dtype))
        for array in old.arrays
    ]
    one = inputs if len(inputs) > 1 else inputs[0]
    return keras.Model(one, layer(one))
