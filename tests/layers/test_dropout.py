"""Dropout goes on with the same masks, and its rate is never mixed up."""

from collections.abc import Callable
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.layers import Dropout
from keras_port.layers.dropout import SavedState
from keras_port.training import GradientModel

FORMATS = ("keras", "weights", "checkpoint")
Weights = list[np.ndarray]


def small_model(dropout: keras.layers.Layer) -> GradientModel:
    """Returns a compiled model with this dropout, the same each time."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(16, activation="relu")(inputs)
    outputs = keras.layers.Dense(3, activation="softmax")(dropout(x))
    model = GradientModel(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
    )
    return model


def ten_steps(model: keras.Model) -> Weights:
    """Trains for ten steps on the same batch; returns the weights."""
    x = np.random.default_rng(5).normal(size=(8, 4)).astype("float32")
    for _ in range(10):
        model.train_on_batch(x, x[:, :3].argmax(axis=1))
    weights: Weights = model.get_weights()
    return weights


def save(model: keras.Model, folder: Path) -> None:
    """Saves a model in each of the formats."""
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    tf.train.Checkpoint(model=model).write(str(folder / "model"))


def load(kind: str, folder: Path) -> keras.Model:
    """Returns the model that one of the files holds."""
    if kind == "keras":
        return keras.saving.load_model(folder / "model.keras")
    model = small_model(Dropout(rate=0.5, seed=2))
    # Keras takes slots only where there are slots.
    model.optimizer.build(model.trainable_variables)
    if kind == "weights":
        model.load_weights(folder / "model.weights.h5")
    else:
        checkpoint = tf.train.Checkpoint(model=model)
        checkpoint.read(str(folder / "model")).assert_consumed()
    return model


def difference(left: Weights, right: Weights) -> float:
    """Returns the largest difference of any weight."""
    pairs = zip(left, right, strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


RESUME = """
import pathlib, sys
import numpy as np
from tests.layers.test_dropout import *

folder = pathlib.Path(sys.argv[1])
for kind in FORMATS:
    np.savez(folder / f"{kind}.npz", *ten_steps(load(kind, folder)))
"""


@pytest.fixture(scope="module")
def resumed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Weights, Callable[[str], Weights]]:
    """Trains 10 steps, saves, and trains 10 here and 10 in a new process.

    Returns the weights of 20 uninterrupted steps, and a function that returns
    those of the new process, by the kind of file it went on from.
    """
    folder = tmp_path_factory.mktemp("resumed")
    model = small_model(Dropout(rate=0.5, seed=1))
    ten_steps(model)
    save(model, folder)
    twenty = ten_steps(model)
    ended = subprocess.run(
        [sys.executable, "-c", RESUME, folder],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr

    def weights_of(kind: str) -> Weights:
        with np.load(folder / f"{kind}.npz") as file:
            return [file[name] for name in file.files]

    return twenty, weights_of


@pytest.mark.slow
@pytest.mark.fault("B16")
@pytest.mark.parametrize("kind", FORMATS)
def test_ten_steps_and_ten_in_a_new_process_are_twenty(
    kind: str, resumed: tuple[Weights, Callable[[str], Weights]]
) -> None:
    twenty, weights_of = resumed
    assert difference(weights_of(kind), twenty) == 0.0


@pytest.mark.fault("B16")
def test_without_the_state_the_twenty_steps_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model(Dropout(rate=0.5, seed=1))
    ten_steps(model)
    save(model, tmp_path)
    twenty = ten_steps(model)
    monkeypatch.setattr(
        SavedState, "load_own_variables", lambda self, store: None
    )
    assert difference(ten_steps(load("weights", tmp_path)), twenty) > 1e-4


@pytest.mark.fault("B64")
def test_keeping_three_quarters_keeps_them_and_the_mean() -> None:
    ones = np.ones((100, 1000), "float32")
    kept = np.asarray(Dropout(keep_prob=0.75, seed=1)(ones, training=True))
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.75)}
    # Of 100,000 draws the standard deviation is 0.0014: four of them.
    assert np.mean(kept != 0) == pytest.approx(0.75, abs=0.0055)
    assert np.mean(kept) == pytest.approx(1, abs=0.0055 / 0.75)


@pytest.mark.fault("B64")
def test_a_rate_of_a_quarter_is_the_same_layer() -> None:
    ones = np.ones((100, 100), "float32")
    by_rate, by_keep_prob = (
        Dropout(rate=0.25, seed=1),
        Dropout(keep_prob=0.75, seed=1),
    )
    assert by_rate.rate == by_keep_prob.rate == 0.25
    np.testing.assert_array_equal(
        by_rate(ones, training=True), by_keep_prob(ones, training=True)
    )


@pytest.mark.fault("B64")
def test_a_number_without_a_name_is_the_rate_as_in_keras() -> None:
    layer = Dropout(0.25, (None, 1), 7)
    stock = keras.layers.Dropout(0.25, (None, 1), 7)
    for name in ("rate", "noise_shape", "seed"):
        assert getattr(layer, name) == getattr(stock, name)
    with pytest.raises(ValueError, match="Give exactly one"):
        Dropout(0.25, keep_prob=0.75)


@pytest.mark.fault("B64")
@pytest.mark.parametrize(
    ("rate", "keep_prob"), [(None, None), (0.25, 0.75), (0.0, 0.5)]
)
def test_both_names_or_none_are_refused(
    rate: float | None, keep_prob: float | None
) -> None:
    message = (
        "Give exactly one of `rate` (the probability to drop) and `keep_prob` "
        "(TensorFlow 1's probability to keep); rate = 1 - keep_prob. Received: "
        f"rate={rate}, keep_prob={keep_prob}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Dropout(rate=rate, keep_prob=keep_prob)


@pytest.mark.parametrize("name", ["rate", "keep_prob"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_what_is_no_probability_is_refused(name: str, value: float) -> None:
    message = f"^`{name}` must be .* Received: {name}={value}$"
    with pytest.raises(ValueError, match=message):
        Dropout(**{name: value})


def test_dropping_all_or_keeping_none_is_refused() -> None:
    with pytest.raises(ValueError, match="below 1, as a probability to drop"):
        Dropout(rate=1.0)
    with pytest.raises(ValueError, match="over 0 and at most 1"):
        Dropout(keep_prob=0.0)


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"keep_prob": 1.0}])
def test_rate_0_passes_all_and_saves_and_loads(
    options: dict[str, float], tmp_path: Path
) -> None:
    layer = Dropout(**options)
    assert layer.rate == 0
    x = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(layer(x, training=True), x)
    model = small_model(layer)
    ten_steps(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert difference(ten_steps(loaded), ten_steps(model)) == 0.0


def test_outside_training_inputs_pass_unchanged() -> None:
    x = np.arange(6, dtype="float32").reshape(2, 3)
    layer = Dropout(rate=0.9)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)


def test_masks_differ_from_call_to_call_and_follow_the_seed() -> None:
    ones = np.ones((1, 100), "float32")
    first, again = Dropout(rate=0.5, seed=1), Dropout(rate=0.5, seed=1)
    masks = [np.asarray(first(ones, training=True)) for _ in range(2)]
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(again(ones, training=True), masks[0])


def test_noise_shape_is_that_of_keras() -> None:
    ones = np.ones((4, 5, 6), "float32")
    layer = Dropout(rate=0.5, noise_shape=(None, 1, 6), seed=1)
    dropped = np.asarray(layer(ones, training=True))
    assert (dropped == dropped[:, :1]).all()
    assert set(np.unique(dropped)) == {0, 2}


@pytest.mark.parametrize("options", [{"rate": 0.4}, {"keep_prob": 0.6}])
def test_config_makes_the_same_layer(options: dict[str, Any]) -> None:
    layer = Dropout(**options, noise_shape=(None, 1), seed=4, name="mine")
    config = keras.layers.serialize(layer)
    for again in (
        Dropout.from_config(layer.get_config()),
        keras.layers.deserialize(config),
    ):
        assert type(again) is Dropout
        assert again.get_config() == layer.get_config()
        assert (again.rate, again.name) == (layer.rate, "mine")


def test_a_file_of_the_stock_layer_loads(tmp_path: Path) -> None:
    stock = small_model(keras.layers.Dropout(0.5, seed=1))
    saved = ten_steps(stock)
    stock.save_weights(tmp_path / "model.weights.h5")
    dropout = Dropout(rate=0.5, seed=9)
    model = small_model(dropout)
    model.optimizer.build(model.trainable_variables)
    state = np.asarray(dropout.seed_generator.state)
    model.load_weights(tmp_path / "model.weights.h5")
    assert difference(model.get_weights(), saved) == 0.0
    # The file holds no state: the layer keeps its own.
    np.testing.assert_array_equal(dropout.seed_generator.state, state)


@pytest.mark.fault("C44")
@pytest.mark.parametrize("name", ["model.weights.h5", "model.keras"])
def test_a_file_of_this_layer_loads_into_stock_layers(
    tmp_path: Path, name: str
) -> None:
    model = small_model(Dropout(rate=0.5, seed=1))
    saved = ten_steps(model)
    if name == "model.keras":
        model.save(tmp_path / name)
    else:
        model.save_weights(tmp_path / name)
    stock = small_model(keras.layers.Dropout(0.5, seed=1))
    stock.optimizer.build(stock.trainable_variables)
    stock.load_weights(tmp_path / name)
    assert difference(stock.get_weights(), saved) == 0.0
    assert int(stock.optimizer.iterations) == 10


@pytest.mark.fault("C44", "B16")
def test_each_of_several_layers_keeps_its_own_state(tmp_path: Path) -> None:
    def network() -> keras.Sequential:
        return keras.Sequential(
            [
                keras.Input((50,)),
                *(Dropout(0.5, seed=n) for n in range(3)),
                keras.Sequential([Dropout(0.5, seed=3), Dropout(0.0)]),
            ]
        )

    model, ones = network(), np.ones((1, 50), "float32")
    model(ones, training=True)
    model.save_weights(tmp_path / "m.weights.h5")
    new = network()
    new.load_weights(tmp_path / "m.weights.h5")
    for one, other in zip(model.variables, new.variables, strict=True):
        np.testing.assert_array_equal(one, other)
