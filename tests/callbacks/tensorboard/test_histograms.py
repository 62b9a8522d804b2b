"""Weights, gradients and activations by layer, at each so many steps."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.callbacks import TensorBoard
from keras_port.callbacks.tensorboard.histograms import LayerHistograms
from keras_port.callbacks.tensorboard.histograms import count_buckets
from keras_port.callbacks.tensorboard.histograms import write_histogram
from keras_port.training import GradientModel
from tests.callbacks.scripted import WeightsAt
from tests.callbacks.tensorboard.networks import image_arrays
from tests.callbacks.tensorboard.networks import image_batches
from tests.callbacks.tensorboard.networks import image_model
from tests.callbacks.tensorboard.networks import stock_model
from tests.callbacks.tensorboard.networks import train
from tests.callbacks.tensorboard.written import steps_of
from tests.callbacks.tensorboard.written import written
from tests.small import small_arrays
from tests.small import small_model

HISTOGRAMS = {
    f"{layer}/{tag}"
    for layer in ("conv1", "fc")
    for tag in (
        "kernel",
        "bias",
        "kernel_gradient",
        "bias_gradient",
        "activations",
    )
}

Trained = tuple[Path, dict[int, list[np.ndarray]]]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, small_mnist: datasets.Splits
) -> Trained:
    """Trains a convolution for 6 steps; returns the folder and weights."""
    folder = tmp_path_factory.mktemp("histograms")
    weights = WeightsAt(1, 2, 4, 6)
    board = TensorBoard(folder, histogram_freq=2, data=small_mnist.validation)
    image_model().fit(
        image_batches(small_mnist.train),
        steps_per_epoch=6,
        callbacks=[board, weights],
        verbose=0,
    )
    return folder, weights.weights


def is_histogram(tag: str) -> bool:
    """Tells the values of layers from the curves of the optimizer."""
    return "/" in tag and not tag.startswith(("optimizer/", "speed/"))


def counts(value: np.ndarray) -> list[float]:
    """Returns how many values fell into each bucket."""
    return list(value[:, 2])


def expected_histograms(
    folder: Path,
    weights: dict[int, list[np.ndarray]],
    split: datasets.ImageSplit,
) -> dict[str, list[tuple[int, Any]]]:
    """Returns the histograms of what a tape gives on the fixed batch."""
    model = image_model()
    x, y = image_arrays(split[:100])
    first, last = model.get_layer("conv1"), model.get_layer("fc")
    inner = keras.Model(model.inputs, [first.output, last.output])

    # As a graph, to be rounded as the package's is.
    @tf.function
    def measure(x: tf.Tensor, y: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=False))
        return tape.gradient(loss, model.trainable_variables), inner(x)

    writer = tf.summary.create_file_writer(str(folder / "expected"))
    with writer.as_default():
        for step, values in weights.items():
            model.set_weights(values)
            gradients, activations = measure(x, y)
            for layer, value in zip(("conv1", "fc"), activations, strict=True):
                tf.summary.histogram(f"{layer}/activations", value, step)
            names = ["conv1/kernel", "conv1/bias", "fc/kernel", "fc/bias"]
            for name, weight, gradient in zip(
                names, values, gradients, strict=True
            ):
                tf.summary.histogram(name, weight, step)
                tf.summary.histogram(f"{name}_gradient", gradient, step)
    writer.close()
    return written(folder)["expected"]


@pytest.mark.fault("B32")
def test_weights_gradients_and_activations_each_so_many_steps(
    trained: Trained,
) -> None:
    folder, _ = trained
    tags = written(folder)["train"]
    assert {tag for tag in tags if is_histogram(tag)} == HISTOGRAMS
    for tag in HISTOGRAMS:
        assert steps_of(folder, "train", tag) == [1, 2, 4, 6], tag


@pytest.mark.fault("B32")
def test_they_are_those_of_a_tape_on_the_fixed_batch(
    trained: Trained, small_mnist: datasets.Splits, tmp_path: Path
) -> None:
    folder, weights = trained
    expected = expected_histograms(tmp_path, weights, small_mnist.validation)
    found = written(folder)["train"]
    assert set(expected) == HISTOGRAMS
    for tag, points in expected.items():
        for (step, value), (_, other) in zip(points, found[tag], strict=True):
            assert counts(value) == counts(other), (tag, step)
            # The edges may be rounded differently, as 32-bit sums are.
            np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-7)
    gradients = found["fc/kernel_gradient"]
    assert counts(gradients[0][1]) != counts(gradients[1][1])


@pytest.mark.fault("B31")
def test_the_names_of_a_second_model_have_no_numbers(tmp_path: Path) -> None:
    tags = []
    for name in ("first", "second"):
        board = TensorBoard(tmp_path / name, histogram_freq=1)
        layers = [keras.layers.Dense(2)]
        train(stock_model(layers=layers), [board], steps=1)
        found = written(tmp_path / name)["train"]
        tags.append({tag for tag in found if is_histogram(tag)})
    assert tags[0] == tags[1]
    assert tags[0] == {
        "dense/kernel",
        "dense/bias",
        "dense_1/kernel",
        "dense_1/bias",
    }


def test_without_data_the_weights_only(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, histogram_freq=2)
    train(small_model(), [board], steps=4)
    tags = {tag for tag in written(tmp_path)["train"] if is_histogram(tag)}
    assert tags == {"dense/kernel", "dense/bias"}
    assert steps_of(tmp_path, "train", "dense/kernel") == [1, 2, 4]


@pytest.mark.fault("B27")
def test_several_steps_in_a_call_give_the_first_chance_after_each_multiple(
    tmp_path: Path,
) -> None:
    board = TensorBoard(tmp_path, histogram_freq=4, data=small_arrays())
    train(small_model(steps_per_execution=3), [board], steps=15)
    for tag in ("dense/kernel", "dense/kernel_gradient"):
        assert steps_of(tmp_path, "train", tag) == [3, 6, 9, 12], tag


class Recurrent(keras.Model):
    """A recurrent layer, whose cell is called inside a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = keras.layers.SimpleRNN(2, name="recurrent")
        self.last = keras.layers.Dense(3, activation="softmax", name="last")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.last(self.recurrent(x[:, :, None]))


def test_a_layer_that_is_called_inside_a_loop_has_no_activations(
    tmp_path: Path,
) -> None:
    model = Recurrent()
    model(small_arrays()[0])
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    writer = tf.summary.create_file_writer(str(tmp_path / "train"))
    x, y = map(tf.constant, small_arrays())
    LayerHistograms(model, writer, (x, y)).write(1)
    writer.close()
    tags = set(written(tmp_path)["train"])
    assert {"last/activations", "last/kernel_gradient"} <= tags
    activations = {tag for tag in tags if tag.endswith("activations")}
    assert activations == {"last/activations"}
    # Nobody who looked is left in the layers.
    assert "call" not in vars(model.last)


def memory() -> int:
    """Returns the memory that this process holds now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


@pytest.mark.fault("B33")
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="Linux tells the memory"
)
@pytest.mark.parametrize(
    "steps", [200, pytest.param(2000, marks=pytest.mark.slow)]
)
def test_the_memory_stays_flat(tmp_path: Path, steps: int) -> None:
    seen: list[int] = []
    model = small_model()
    assert isinstance(model, GradientModel)

    class Memory(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch % 50 == 49:
                seen.append(memory())

    board = TensorBoard(tmp_path, histogram_freq=10, data=small_arrays())
    train(model, [board, Memory()], steps=steps)
    assert steps_of(tmp_path, "train", "dense/kernel_gradient") == [
        1,
        *range(10, steps + 1, 10),
    ]
    # After the first graphs; each histogram's graph anew would be 1 MiB.
    assert seen[-1] - seen[1] < 20, seen


# The fast histograms are those of `tf.summary.histogram`.
NORMAL = np.random.default_rng(1).normal(size=(40, 50))
VALUES = {
    "normal": NORMAL.astype("float32"),
    "64 bits": NORMAL,
    "16 bits": NORMAL.astype("float16"),
    "half zeros": np.maximum(NORMAL, 0).astype("float32"),
    "integers": np.arange(100) % 7,
    "equal": np.full(5, 0.1, "float32"),
    "zeros": np.zeros((2, 3), "float32"),
    "one": np.float32(3),
    "empty": np.zeros((0, 4), "float32"),
    "far from zero": 1e6 + np.arange(64, dtype="float32"),
    "wide": np.float32([-3e38, 0, 3e38]),
}


@pytest.mark.parametrize("name", VALUES)
def test_file_holds_what_the_slow_way_writes(name: str, tmp_path: Path) -> None:
    values = tf.constant(VALUES[name])
    step = tf.constant(7, tf.int64)
    with tf.summary.create_file_writer(str(tmp_path / "run")).as_default():
        write_histogram("ours", values, step)
        tf.summary.histogram("theirs", values, step)
    found = written(tmp_path)["run"]
    ((our_step, ours),) = found["ours"]
    ((_, theirs),) = found["theirs"]
    assert our_step == 7
    assert ours[:, 2].sum() == values.shape.num_elements()
    np.testing.assert_array_equal(ours[:, 2], theirs[:, 2])
    # The last bit of an edge differs between eager and graph.
    last_bit = 1e-15 * np.abs(theirs[:, :2]).max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-15, atol=last_bit)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "function", [count_buckets, tf.function(count_buckets)]
)
def test_values_that_are_not_finite_are_left_out(
    odd: float, function: Any
) -> None:
    values = np.float32([0, odd, 1, 2, odd, 3])
    kept = values[np.isfinite(values)]
    expected = count_buckets(kept)
    # The last bit of an edge differs between eager and graph.
    np.testing.assert_allclose(function(values), expected, rtol=1e-15)
    nothing = function(np.float32([odd, odd]))
    np.testing.assert_array_equal(nothing, np.zeros((30, 3)))


def test_values_whose_sum_overflows_are_counted() -> None:
    counts = count_buckets(np.float32([3e38, 3e38, 0, 1e38]))[:, 2].numpy()
    assert (counts.sum(), counts[0], counts[-1]) == (4, 1, 2)
