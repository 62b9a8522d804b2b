"""A layer is saved with its graph, and predicts the same elsewhere."""

from pathlib import Path
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from tests.tf1.graph import programs
from tests.tf1.graph.elsewhere import load_elsewhere
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.sessions import run
from tests.tf1.graph.test_agreement import make_functional

SAVED = [
    (programs.cnn, "ref", "v1"),
    (programs.nested_loops, "ref", "v1"),
    (programs.nested_loops, "resource", "v2"),
    (programs.residual_network, "ref", "v1"),
    (programs.batch_norm_by_hand, "resource", "v2"),
    (programs.lstm_classifier, "ref", "v1"),
    (programs.lstm_classifier, "resource", "v2"),
    (programs.text_cnn, "ref", "v1"),
]


@pytest.mark.slow
def test_files_without_a_meta_predict_the_same_bits_elsewhere(
    tmp_path: Path,
) -> None:
    expected, arrays = [], []
    for number, (program, variables, flow) in enumerate(SAVED):
        folder = tmp_path / "old"
        folder.mkdir()
        old = run(program, Mode(variables, flow), folder)
        layer = GraphLayer(
            folder,
            inputs=old.inputs,
            outputs=old.output,
            constants=old.constants,
        )
        make_functional(layer, old).save(tmp_path / f"{number}.keras")
        expected.append(old.predicted[0])
        arrays.append(old.arrays)
        shutil.rmtree(folder)
    found = load_elsewhere(tmp_path, arrays)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    # Two devices add the same gradients in another order.
    differences = np.load(tmp_path / "differences.npz")
    assert [len(differences[name]) for name in differences] == [8, 1]
    for name in differences:
        assert max(differences[name]) < 1e-5


@pytest.fixture
def model(tmp_path: Path) -> keras.Model:
    """Returns a model of a graph with a loop and a condition."""
    old = run(programs.nested_loops, Mode("ref", "v1"), tmp_path)
    layer = GraphLayer(tmp_path, inputs="x", outputs="out", name="old")
    return make_functional(layer, old)


X = programs.data(8, 6)


def test_safe_mode_refuses_and_says_what_to_do(
    model: keras.Model, tmp_path: Path
) -> None:
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.saving.load_model(tmp_path / "model.keras")
    layer = model.get_layer("old")
    with pytest.raises(ValueError, match="safe_mode=False"):
        GraphLayer.from_config(layer.get_config())
    again = GraphLayer.from_config(layer.get_config(), safe_mode=False)
    assert [v.path for v in again.weights] == [v.path for v in layer.weights]


def test_weights_alone_are_saved_and_loaded(
    model: keras.Model, tmp_path: Path
) -> None:
    before = model.predict(X, verbose=0)
    model.save_weights(tmp_path / "w.weights.h5")
    for weight in model.weights:
        weight.assign(weight * 0)
    assert not np.array_equal(model.predict(X, verbose=0), before)
    model.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)


def test_an_export_predicts_the_same(
    model: keras.Model, tmp_path: Path
) -> None:
    before = model.predict(X, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    served: Any = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(X), before, rtol=1e-6)


def test_two_layers_of_graphs_with_the_same_names_live_together(
    tmp_path: Path,
) -> None:
    layers = []
    for name, program in (
        ("one", programs.condition),
        ("two", programs.nested_loops),
    ):
        (tmp_path / name).mkdir()
        run(program, Mode("resource", "v2"), tmp_path / name)
        layers.append(
            GraphLayer(tmp_path / name, inputs="x", outputs="out", name=name)
        )
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers[1](layers[0](inputs)))
    expected = layers[1](layers[0](X))
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)
    assert {w.path for w in model.weights} == {
        "one/w",
        "one/b",
        "two/w",
        "two/b",
    }
