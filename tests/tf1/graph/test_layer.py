"""The layer behaves like any Keras layer."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import Phase
from tests.course_graphs import assert_agree
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.programs import default_graph
from tests.tf1.graph.sessions import run

v1 = tf.compat.v1
EARLY = Mode("ref", "v1")
X = programs.data(8, 4, 4, 3) * 2 + 1


@pytest.fixture(scope="module")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a graph with batch normalisation."""
    folder = tmp_path_factory.mktemp("normalised")
    run(programs.batch_norm_fused, EARLY, folder)
    return folder


def batch_norm(folder: Path) -> GraphLayer:
    return GraphLayer(
        folder,
        inputs="x",
        outputs="out",
        constants={"is_training": Phase(training=True, inference=False)},
        name="old",
    )


def test_paths_are_the_names_of_tensorflow_1(normalised: Path) -> None:
    layer = batch_norm(normalised)
    assert [v.path for v in layer.trainable_variables] == [
        "old/bn/gamma",
        "old/bn/beta",
    ]
    assert [v.path for v in layer.non_trainable_variables] == [
        "old/bn/moving_mean",
        "old/bn/moving_variance",
    ]


def test_moving_values_move_in_training_only(normalised: Path) -> None:
    layer = batch_norm(normalised)
    before = [v.numpy() for v in layer.non_trainable_variables]
    layer(X)
    layer(X, training=False)
    keras.Model(inputs := keras.Input((4, 4, 3)), layer(inputs)).predict(
        X, verbose=0
    )
    for variable, value in zip(
        layer.non_trainable_variables, before, strict=True
    ):
        np.testing.assert_array_equal(variable, value)
    layer(X, training=True)
    mean = 0.9 * before[0] + 0.1 * X.mean((0, 1, 2))
    assert_agree(layer.non_trainable_variables[0].numpy(), mean, rtol=1e-5)


def test_a_tensor_says_whether_it_is_training(normalised: Path) -> None:
    layers = batch_norm(normalised), batch_norm(normalised)

    @tf.function
    def call(training: tf.Tensor) -> tf.Tensor:
        return layers[0](X, training=training)

    for value in (False, True, False):
        expected = layers[1](X, training=value)
        np.testing.assert_allclose(
            call(tf.constant(value)), expected, rtol=1e-6
        )
        for one, other in zip(*(one.weights for one in layers), strict=True):
            np.testing.assert_array_equal(one, other)


def test_stateless_call_uses_and_returns_the_values_given(
    normalised: Path,
) -> None:
    layer = batch_norm(normalised)
    given = [2 * v.value for v in layer.trainable_variables]
    moving = [v.value + 1 for v in layer.non_trainable_variables]
    outputs, new = layer.stateless_call(given, moving, X, training=True)
    other = batch_norm(normalised)
    for variable, value in zip(
        [*other.trainable_variables, *other.non_trainable_variables],
        [*given, *moving],
        strict=True,
    ):
        variable.assign(value)
    before = [v.numpy() for v in layer.weights]
    np.testing.assert_allclose(outputs, other(X, training=True), rtol=1e-6)
    for one, variable in zip(new, other.non_trainable_variables, strict=True):
        np.testing.assert_allclose(one, variable, rtol=1e-6)
    # Its own values are unchanged.
    for one, variable in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(one, variable)
    prediction, unchanged = layer.stateless_call(given, moving, X)
    assert np.isfinite(prediction).all()
    for one, other_value in zip(unchanged, moving, strict=True):
        np.testing.assert_array_equal(one, other_value)


def test_a_frozen_layer_trains_only_what_is_new(normalised: Path) -> None:
    layer = batch_norm(normalised)
    layer.trainable = False
    inputs = keras.Input((4, 4, 3))
    h = keras.layers.Flatten()(layer(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(h))
    model.compile("sgd", "mse")
    before = [w.numpy() for w in layer.weights[:2]]
    model.fit(X, np.ones((8, 2)), epochs=2, verbose=0)
    for one, other in zip(before, layer.weights[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(model.trainable_variables) == 2


def test_regularisation_losses_are_the_layers(tmp_path: Path) -> None:
    run(programs.regularised, EARLY, tmp_path)
    layer = GraphLayer(tmp_path, inputs="x", outputs="out")
    layer(programs.data(2, 6))
    w = next(v for v in layer.weights if v.path.endswith("/w"))
    assert_agree(
        [float(one) for one in layer.losses],
        [0.1 * float(tf.nn.l2_loss(w.value))],
        rtol=1e-6,
    )


def test_dropout_follows_its_feed(tmp_path: Path) -> None:
    run(programs.text_cnn, EARLY, tmp_path)
    numbers = np.arange(72, dtype="int32").reshape(8, 9) % 30
    layer = GraphLayer(
        tmp_path,
        inputs="input_x",
        outputs="probabilities",
        constants={"dropout_keep_prob": Phase(training=0.5, inference=1.0)},
    )
    first, second = (layer(numbers, training=True) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(layer(numbers), layer(numbers))


def test_inputs_may_be_named_and_are_checked(tmp_path: Path) -> None:
    old = run(programs.lstm_classifier, EARLY, tmp_path)
    layer = GraphLayer(tmp_path, inputs=["x", "lengths"], outputs=old.output)
    x, lengths = old.arrays
    expected = layer([x, lengths])
    np.testing.assert_array_equal(
        layer({"lengths": lengths.astype("int64"), "x:0": x}), expected
    )
    for wrong, part in (
        ([x], "2 tensors"),
        ({"x": x}, "lengths:0"),
        ([lengths, x], "has the shape"),
    ):
        with pytest.raises(ValueError, match=part):
            layer(wrong)


def test_any_tensor_may_be_an_input_and_several_outputs(
    tmp_path: Path,
) -> None:
    with default_graph(EARLY):
        q = v1.FIFOQueue(10, [tf.float32], shapes=[[4, 6]], name="queue")
        h = tf.matmul(q.dequeue(name="batch"), programs.weight("w", 6, 2))
        tf.identity(h, name="a")
        tf.nn.softmax(h, name="b")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "m"))
    layer = GraphLayer(tmp_path, inputs="batch", outputs=["a", "b"])
    a, b = layer(programs.data(4, 6))
    np.testing.assert_allclose(tf.nn.softmax(a), b, rtol=1e-6)
    symbolic = layer(keras.Input((6,)))
    # A queue does not tell the shape, so it was tried.
    assert [one.shape for one in symbolic] == [(None, 2), (None, 2)]


def test_keys_that_differ_from_names_are_found_in_the_saver(
    tmp_path: Path,
) -> None:
    with default_graph(EARLY):
        x = programs.rows(6)
        w = programs.weight("scope/w", 6, 2)
        averages = v1.train.ExponentialMovingAverage(0.5)
        tf.matmul(x, w, name="out")
        average = averages.apply([w])
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            session.run(average)
            expected = session.run(w) + 1
            session.run(v1.assign(averages.average(w), expected))
            # To predict with averages: the value of the average, for w.
            v1.train.Saver({"renamed": averages.average(w)}).save(
                session, str(tmp_path / "m"), write_meta_graph=False
            )
            graph = v1.train.export_meta_graph(
                saver_def=v1.train.Saver({"renamed": w}).as_saver_def()
            )
    (tmp_path / "m.meta").write_bytes(graph.SerializeToString())
    layer = GraphLayer(tmp_path / "m.meta", inputs="x", outputs="out")
    assert [v.path for v in layer.weights] == [f"{layer.name}/scope/w"]
    np.testing.assert_array_equal(layer.weights[0], expected)


def test_a_layer_is_cloned_by_its_configuration(normalised: Path) -> None:
    layer = batch_norm(normalised)
    again: Any = GraphLayer.from_config(layer.get_config(), safe_mode=False)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(X), layer(X))


def test_a_frozen_layer_stays_frozen_in_a_file(
    normalised: Path, tmp_path: Path
) -> None:
    layer = batch_norm(normalised)
    layer.trainable = False
    inputs = keras.Input((4, 4, 3))
    h = keras.layers.Flatten()(layer(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(h))
    model.compile("adam", "mse")
    model.fit(X, np.ones((8, 2)), verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=False)
    assert len(loaded.trainable_variables) == 2
    loaded.get_layer("old").trainable = True
    # The moving averages stay as they are.
    assert len(loaded.trainable_variables) == 4


def test_compilation_by_xla_is_declined(normalised: Path) -> None:
    model = batch_norm(normalised).to_model()
    with pytest.warns(UserWarning, match="jit_compile"):
        model.compile("sgd", "mse", jit_compile=True)
    model.fit(X, X, verbose=0)
