"""`tf.summary` in a layer or in a step of one's own."""

from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.training import GradientModel
from tests.callbacks.tensorboard.networks import stock_model
from tests.callbacks.tensorboard.networks import train
from tests.callbacks.tensorboard.written import steps_of
from tests.callbacks.tensorboard.written import written
from tests.small import small_arrays
from tests.small import small_model

pytestmark = pytest.mark.fault("P24")


class Watched(keras.layers.Layer):
    """Writes the mean of its input in every call."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        tf.summary.scalar("mean", tf.reduce_mean(x))
        return x


def watched_model(**options: Any) -> GradientModel:
    """Returns the small model with a layer that writes."""
    plain = small_model()
    inputs = keras.Input((4,))
    outputs = plain.layers[-1](Watched()(inputs))
    model = GradientModel(inputs, outputs)
    model.compile(plain.optimizer, plain.loss, **options)
    return model


def watched_stock(**options: Any) -> keras.Model:
    return stock_model(layers=[Watched()], **options)


def means_in(folder: Path, run: str = "train") -> list[tuple[int, float]]:
    """Returns what the layer has written, with its steps."""
    return [
        (step, float(value))
        for tag, points in written(folder).get(run, {}).items()
        # TensorFlow puts the scope of the layer before the tag.
        if tag.endswith("/mean")
        for step, value in points
    ]


def steps_in(folder: Path, run: str = "train") -> list[int]:
    return [step for step, _ in means_in(folder, run)]


def expected_means(steps: int) -> dict[int, float]:
    x, _ = small_arrays()
    means = x.reshape(6, 32).mean(axis=1)
    return {step: float(means[(step - 1) % 6]) for step in range(1, steps + 1)}


@pytest.mark.parametrize("make", [watched_model, watched_stock])
@pytest.mark.parametrize("eager", [False, True])
def test_a_summary_of_a_layer_is_at_its_step_of_the_training(
    tmp_path: Path, make: Any, eager: bool
) -> None:
    model = make(run_eagerly=eager)
    evaluation = StepEvaluation(small_arrays(9), eval_freq=2)
    board = TensorBoard(tmp_path, histogram_freq=2, data=small_arrays())
    train(model, [evaluation, board], steps=8)
    # Without those of evaluations and histograms, which call the layer, too.
    assert steps_in(tmp_path) == list(range(1, 9))
    assert dict(means_in(tmp_path)) == pytest.approx(
        expected_means(8), rel=1e-5
    )
    assert set(written(tmp_path)) == {"train", "validation"}
    assert not means_in(tmp_path, "validation")


class WritingStep(GradientModel):
    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        tf.summary.scalar("after", logs["loss"])
        return logs


def test_a_summary_of_a_train_step_has_the_number_of_the_step(
    tmp_path: Path,
) -> None:
    plain = small_model()
    model = WritingStep(plain.inputs, plain.outputs)
    model.compile(plain.optimizer, plain.loss)
    train(model, [TensorBoard(tmp_path)], steps=3)
    assert steps_of(tmp_path, "train", "after") == [1, 2, 3]


def test_update_freq_thins_them(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "one", update_freq=3)
    train(watched_model(), [board], steps=7)
    assert steps_in(tmp_path / "one") == [3, 6]
    # A call is due if it holds a multiple, and has the number of its first.
    board = TensorBoard(tmp_path / "four", update_freq=5)
    train(watched_model(steps_per_execution=4), [board], steps=12)
    assert steps_in(tmp_path / "four") == [5] * 4 + [9] * 4


@pytest.mark.parametrize("make", [watched_model, watched_stock])
def test_every_fit_writes_where_it_should(tmp_path: Path, make: Any) -> None:
    model = make()
    train(model, [], steps=1)
    train(model, [TensorBoard(tmp_path / "a")], steps=2)
    train(model, [], steps=1)
    train(model, [TensorBoard(tmp_path / "b")], steps=2)
    train(model, [TensorBoard(tmp_path / "b")], steps=1)
    assert steps_in(tmp_path / "a") == [2, 3]
    assert steps_in(tmp_path / "b") == [5, 6, 7]


class Broken(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            raise RuntimeError("broken callback")


@pytest.mark.parametrize("make", [watched_model, watched_stock])
def test_a_fit_that_raised_leaves_no_writer_behind(
    tmp_path: Path, make: Any
) -> None:
    model = make()
    board = TensorBoard(tmp_path)
    with pytest.raises(RuntimeError, match="broken callback"):
        train(model, [board, Broken()], steps=9)
    assert tf.summary.experimental.get_step() is None
    assert not tf.summary.should_record_summaries()
    for callbacks in ([], [StepEvaluation(small_arrays(9), eval_freq=1)]):
        train(model, callbacks, steps=1)
    board.on_train_begin()
    assert steps_in(tmp_path) == [1, 2]
    model.optimizer.iterations.assign(2)
    del board
    train(model, [TensorBoard(tmp_path / "next")], steps=2)
    train(model, [], steps=2)
    assert steps_in(tmp_path / "next") == [3, 4]


def count_traces(model: keras.Model) -> list[int]:
    """Returns a list that grows whenever the layer is traced."""
    traces: list[int] = []
    layer = model.layers[-1]
    inner = layer.call

    def call(x: tf.Tensor) -> tf.Tensor:
        traces.append(1)
        return inner(x)

    layer.call = call
    return traces


@pytest.mark.parametrize("make", [small_model, stock_model])
def test_a_model_without_summaries_is_not_traced_again(
    tmp_path: Path, make: Any
) -> None:
    model = make()
    board = TensorBoard(tmp_path, write_graph=False)
    train(model, [board], steps=2)
    traces = count_traces(model)
    train(model, [board], steps=2)
    train(model, [], steps=2)
    assert traces == []


def test_a_writer_of_the_users_own_stays_the_default(tmp_path: Path) -> None:
    own = tf.summary.create_file_writer(str(tmp_path / "own"))
    with own.as_default(step=70):
        train(watched_model(), [TensorBoard(tmp_path)], steps=2)
    own.close()
    assert steps_in(tmp_path, "own") == [70, 70]
    assert not means_in(tmp_path)


def test_with_xla_which_has_no_summaries_the_training_goes_on(
    tmp_path: Path,
) -> None:
    train(watched_model(jit_compile=True), [TensorBoard(tmp_path)], steps=2)
    assert steps_of(tmp_path, "train", "loss") == [1, 2]
    assert not means_in(tmp_path)
