"""The operations of a step, under the names of layers and slides."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.plugins.graph import keras_util
import tensorflow as tf

from keras_port import distribution
from keras_port.callbacks import TensorBoard
from keras_port.training import GradientModel
from tests.callbacks.tensorboard.networks import image_model
from tests.callbacks.tensorboard.networks import stock_model
from tests.callbacks.tensorboard.networks import train
from tests.callbacks.tensorboard.written import graphs
from tests.callbacks.tensorboard.written import written
from tests.small import small_arrays
from tests.small import small_model

SCOPES = {"cross_entropy", "gradients", "trainer", "evaluator"}


class Subclassed(keras.Model):
    """Two dense layers, called in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = keras.layers.Dense(4, activation="relu", name="conv1")
        self.fc = keras.layers.Dense(3, activation="softmax", name="fc")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.fc(self.conv1(x))


def compiled(model: keras.Model) -> keras.Model:
    """Compiles a model of three classes with the slots of Adam."""
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def sequential() -> keras.Model:
    conv1 = keras.layers.Dense(4, activation="relu", name="conv1")
    fc = keras.layers.Dense(3, activation="softmax", name="fc")
    return compiled(keras.Sequential([keras.Input((4,)), conv1, fc]))


def functional() -> keras.Model:
    inputs = keras.Input((4,), name="images")
    x = keras.layers.Dense(4, activation="relu", name="conv1")(inputs)
    outputs = keras.layers.Dense(3, activation="softmax", name="fc")(x)
    return compiled(GradientModel(inputs, outputs))


def subclassed() -> keras.Model:
    return compiled(Subclassed())


def names_in(folder: Path) -> list[str]:
    """Returns the names of the operations of the one graph in a run."""
    (graph,) = graphs(folder / "train")
    return [node.name for node in graph.node]


def scopes_in(names: list[str]) -> set[str]:
    """Returns the outermost scopes."""
    return {name.split("/")[0] for name in names if "/" in name}


@pytest.mark.fault("B29", "B31")
@pytest.mark.parametrize("make", [sequential, functional, subclassed])
def test_a_step_stands_under_the_layers_and_the_slides_names(
    tmp_path: Path, make: Any
) -> None:
    data = small_arrays() if make is subclassed else None
    found = []
    for name in ("first", "second"):
        board = TensorBoard(tmp_path / name, data=data)
        train(make(), [board], steps=2)
        found.append(names_in(tmp_path / name))
    names = found[0]
    assert {"conv1", "fc"} | SCOPES <= scopes_in(names)
    assert {"conv1/kernel", "conv1/bias", "fc/kernel"} <= set(names)
    assert any(name.startswith("gradients/conv1/") for name in names)
    # Where a second model's names would get their numbers.
    assert found[1] == names


class Rounded(GradientModel):
    """Changes the gradients between the halves of the step."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        result = self.compute_gradients(x, y)
        pairs = [(tf.round(g), v) for g, v in result.grads_and_vars]
        self.apply_gradients(pairs)
        return self.update_metrics(x, y, result, None)


class StockRounded(keras.Model):
    """A step of one's own in a stock model."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        gradients = [tf.round(one) for one in gradients]
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


def with_class(cls: type[keras.Model], **options: Any) -> keras.Model:
    """Returns the small model with another class."""
    plain = small_model()
    model = cls(plain.inputs, plain.outputs)
    model.compile("sgd", plain.loss, **options)
    return model


@pytest.mark.parametrize("cls", [Rounded, StockRounded])
def test_the_graph_is_that_of_a_train_step_of_ones_own(
    tmp_path: Path, cls: type[keras.Model]
) -> None:
    train(with_class(cls), [TensorBoard(tmp_path)], steps=1)
    kinds = [n.op for n in graphs(tmp_path / "train")[0].node]
    assert kinds.count("Round") == 2
    if cls is Rounded:
        assert scopes_in(names_in(tmp_path)) >= SCOPES


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"global_clipnorm": 1.0}, "trainer/clip_by_global_norm/mul"),
        ({"gradient_accumulation_steps": 2}, "trainer/cond"),
    ],
)
def test_what_compile_adds_to_the_step_is_in_its_graph(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    train(small_model(**options), [TensorBoard(tmp_path)], steps=2)
    assert name in names_in(tmp_path)


def test_replicas_are_in_the_graph_and_every_name_is_there_once(
    tmp_path: Path,
) -> None:
    with distribution.mirrored_strategy(2).scope():
        model = functional()
    train(model, [TensorBoard(tmp_path)], steps=1)
    names = names_in(tmp_path)
    assert len(set(names)) == len(names)
    assert {"fc/kernel", "fc/kernel/replica_1"} <= set(names)
    assert scopes_in(names) >= SCOPES


class Unlike(GradientModel):
    """Takes a form of data that the page does not know."""

    def train_step(self, data: Any) -> Any:
        x, y, weights = data
        return super().train_step((x, y, weights))


def test_a_step_that_cannot_be_traced_again_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = with_class(Unlike)
    x, y = small_arrays()
    with caplog.at_level("WARNING"):
        model.fit(
            x,
            y,
            sample_weight=np.ones(len(x)),
            callbacks=[TensorBoard(tmp_path)],
            verbose=0,
        )
    assert "`train_step` raised ValueError" in caplog.text
    assert not graphs(tmp_path / "train")


def test_the_graph_is_whole(tmp_path: Path) -> None:
    train(functional(), [TensorBoard(tmp_path)], steps=1)
    (graph,) = graphs(tmp_path / "train")
    names = {node.name for node in graph.node}
    assert len(names) == len(graph.node)
    for node in graph.node:
        for source in node.input:
            assert source.lstrip("^").split(":")[0] in names, node.name


def test_two_fits_write_one_graph(tmp_path: Path) -> None:
    model = small_model()
    for _ in range(2):
        train(model, [TensorBoard(tmp_path)], steps=1)
    assert len(graphs(tmp_path / "train")) == 1
    assert len(written(tmp_path)["train"]["keras"]) == 1


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (sequential, {"conv1", "fc"}),
        (functional, {"images", "conv1", "fc"}),
        (image_model, {"images", "conv1", "flatten", "fc"}),
    ],
)
def test_the_dashboard_can_read_the_graph_of_the_layers(
    tmp_path: Path, make: Any, layers: set[str]
) -> None:
    from keras_port.callbacks.tensorboard.graphs import write_layer_graph

    writer = tf.summary.create_file_writer(str(tmp_path / "train"))
    write_layer_graph(make(), writer)
    writer.close()
    ((step, config),) = written(tmp_path)["train"]["keras"]
    graph = keras_util.keras_model_to_graph_def(json.loads(config.item()))
    assert step == 0
    assert layers <= {node.name.split("/")[-1] for node in graph.node}


def test_a_subclassed_model_has_no_graph_of_layers(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, data=small_arrays())
    train(subclassed(), [board], steps=1)
    assert "keras" not in written(tmp_path)["train"]


def test_a_model_of_unknown_inputs_says_what_to_give(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING"):
        train(subclassed(), [TensorBoard(tmp_path)], steps=1)
    assert "data=(x, y)" in caplog.text
    assert not graphs(tmp_path / "train")


def test_one_hot_targets_are_told_from_labels(tmp_path: Path) -> None:
    model = stock_model()
    model.compile(optimizer="sgd", loss="categorical_crossentropy")
    x, y = small_arrays()
    board = TensorBoard(tmp_path)
    model.fit(x, keras.ops.one_hot(y, 3), callbacks=[board], verbose=0)
    scopes = scopes_in(names_in(tmp_path))
    assert {"cross_entropy", "gradients", "trainer"} <= scopes


def test_without_write_graph_there_is_none(tmp_path: Path) -> None:
    train(small_model(), [TensorBoard(tmp_path, write_graph=False)], steps=1)
    assert not graphs(tmp_path / "train")
    assert "keras" not in written(tmp_path)["train"]
