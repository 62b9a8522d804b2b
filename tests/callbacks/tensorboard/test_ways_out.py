"""What is on the disk when a training ends in whatever way."""

import copy
import gc
from pathlib import Path
import pickle
import signal
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import StepProgress
from keras_port.callbacks import TensorBoard
from keras_port.callbacks import TerminateOnSignal
from keras_port.callbacks.tensorboard import open_run
from keras_port.training import GradientModel
from tests.callbacks.tensorboard.networks import image_arrays
from tests.callbacks.tensorboard.networks import stock_model
from tests.callbacks.tensorboard.networks import train
from tests.callbacks.tensorboard.written import curve
from tests.callbacks.tensorboard.written import steps_of
from tests.callbacks.tensorboard.written import written
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model


def failing_batches(good: int, error: type[Exception]) -> tf.data.Dataset:
    """Returns batches of which one raises an error, as a bad file does."""

    def check(number: int) -> np.int64:
        if number == good:
            raise error("broken batch")
        return np.int64(number)

    def passed(number: tf.Tensor, batch: Any) -> Any:
        is_good = tf.numpy_function(check, [number], tf.int64)
        with tf.control_dependencies([is_good]):
            return tf.nest.map_structure(tf.identity, batch)

    return small_batches().enumerate().map(passed)


@pytest.mark.parametrize("make", [small_model, stock_model])
@pytest.mark.parametrize("calls", [1, 4])
def test_a_step_that_raises_loses_no_step_before_it(
    tmp_path: Path, make: Any, calls: int
) -> None:
    model = make(steps_per_execution=calls)
    # The model and the callback stay in memory, as in a notebook.
    board = TensorBoard(tmp_path, update_freq=1)
    batches = failing_batches(6, ValueError)
    with pytest.raises(tf.errors.OpError, match="broken batch"):
        model.fit(
            batches,
            steps_per_epoch=12,
            callbacks=[board],
            shuffle=False,
            verbose=0,
        )
    # Of a call of several steps only a `GradientModel` knows the first ones.
    is_partly_known = calls == 1 or make is small_model
    last = 6 if is_partly_known else 4
    assert steps_of(tmp_path, "train", "loss")[-1] == last


class Look(keras.callbacks.Callback):
    """Notes which steps of the loss are on the disk at a step."""

    def __init__(self, folder: Path, step: int) -> None:
        super().__init__()
        self.folder, self.step = folder, step
        self.seen: list[int] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            self.seen = steps_of(self.folder, "train", "loss")


@pytest.mark.parametrize("make", [small_model, stock_model])
def test_every_second_all_steps_are_on_the_disk(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process may be killed, and then nothing can be written any more.
    monkeypatch.setattr(open_run, "FLUSH_INTERVAL", 0.0)
    board, look = TensorBoard(tmp_path), Look(tmp_path, 5)
    train(make(), [board, look], steps=9)
    assert look.seen == [1, 2, 3, 4, 5]
    assert steps_of(tmp_path, "train", "loss") == list(range(1, 10))
    if make is small_model:
        # These extra writes are no points of the speed.
        assert steps_of(tmp_path, "train", "speed/steps_per_second") == [9]


def test_an_interrupted_training_is_closed(tmp_path: Path) -> None:
    model = small_model()
    board = TensorBoard(tmp_path)

    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, [board, Interrupt()], steps=9)
    # What the `fit` of a `GradientModel` calls.
    board.on_train_interrupted()
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3, 4]
    train(model, [board], steps=2)
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3, 4, 5, 6]


KILLED = """
import os, signal, sys, time
from tests.callbacks.tensorboard.test_ways_out import *

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 4:
            time.sleep(1.1)
        if batch == 6:
            os.kill(os.getpid(), signal.SIGKILL)

train(small_model(), [Kill(), TensorBoard(sys.argv[1])], steps=9)
"""


@pytest.mark.slow
def test_a_killed_process_has_written_all_but_the_last_second(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path],
        cwd=Path(__file__).parents[3],
        check=False,
        capture_output=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3, 4, 5]


@pytest.mark.fault("E6")
@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
@pytest.mark.parametrize("fails", [False, True])
def test_it_can_be_copied_after_a_fit(
    tmp_path: Path, clone: Any, fails: bool
) -> None:
    model = stock_model()
    board = TensorBoard(tmp_path / "a", histogram_freq=1, data=small_arrays())
    if fails:
        batches = failing_batches(2, ValueError)
        with pytest.raises(tf.errors.OpError):
            model.fit(batches, callbacks=[board], shuffle=False, verbose=0)
    else:
        train(model, [board], steps=2)
    other = clone(board)
    other.log_dir = tmp_path / "b"
    train(stock_model(), [other], steps=1)
    assert steps_of(tmp_path / "b", "train", "loss") == [1]
    del board
    gc.collect()


@pytest.mark.fault("E4")
def test_the_directory_may_be_set_as_text(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "first")
    # As KerasTuner does.
    board.log_dir = str(tmp_path / "second")
    train(small_model(), [board], steps=1)
    assert board.log_dir == tmp_path / "second"
    assert steps_of(tmp_path / "second", "train", "loss") == [1]
    assert not (tmp_path / "first").exists()


@pytest.mark.fault("C38")
@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("make", [small_model, stock_model])
def test_it_works_in_a_loop_of_ones_own(
    tmp_path: Path, history: bool, make: Any
) -> None:
    model = make()
    hooks = keras.callbacks.CallbackList(
        [TensorBoard(tmp_path)], add_history=history, model=model
    )
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for number, (x, y) in enumerate(small_batches().take(3)):
        hooks.on_train_batch_begin(number)
        logs = model.train_on_batch(x, y, return_dict=True)
        hooks.on_train_batch_end(number, logs)
    hooks.on_epoch_end(0, {})
    hooks.on_train_end()
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]
    assert steps_of(tmp_path, "train", "optimizer/learning_rate") == [1, 2, 3]


@pytest.mark.fault("P10")
@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"),
    reason="this Keras has no MultiOptimizer",
)
def test_several_optimizers_have_no_curve_of_their_rate(
    tmp_path: Path,
) -> None:
    first, second = keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1)
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(first, {".*bias": second})
    )
    train(stock_model(optimizer), [TensorBoard(tmp_path)], steps=3)
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]
    assert "optimizer/learning_rate" not in written(tmp_path)["train"]


class Sampling(keras.layers.Layer):
    """Draws in every call, as in a variational autoencoder."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(5)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        shape = keras.ops.shape(x)
        return x + keras.random.normal(shape, seed=self.seed_generator)


@pytest.mark.fault("C11")
def test_a_layer_that_draws_in_inference_draws_the_same_without_it(
    tmp_path: Path,
) -> None:
    weights = []
    board = TensorBoard(tmp_path, histogram_freq=2, data=small_arrays())
    for callbacks in ([], [board]):
        model = stock_model(layers=[Sampling()])
        train(model, callbacks, steps=6)
        weights.append(model.get_weights())
    np.testing.assert_array_equal(weights[0][0], weights[1][0])


@pytest.mark.fault("C11")
def test_nor_do_pictures_and_projector_change_what_it_draws(
    tmp_path: Path, small_mnist: datasets.Splits
) -> None:
    weights, evaluation = [], StepEvaluation(small_mnist.test, eval_freq=2)
    board = TensorBoard(tmp_path, data=small_mnist.validation)
    for callbacks in ([], [board, evaluation]):
        keras.utils.set_random_seed(4)
        inputs = keras.Input((784,))
        x = Sampling()(keras.layers.Dense(3)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(x))
        model.compile("sgd", "sparse_categorical_crossentropy")
        x, y = image_arrays(small_mnist.train)
        for _ in range(2):  # The projector is written after the first one.
            model.fit(
                x.reshape(-1, 784),
                y,
                batch_size=100,
                shuffle=False,
                callbacks=callbacks,
                verbose=0,
            )
        weights.append(model.get_weights())
    for left, right in zip(*weights, strict=True):
        np.testing.assert_array_equal(left, right)


class NoOptimizer(GradientModel):
    """Has nothing to update."""

    def train_step(self, data: Any) -> Any:
        return {"seen": tf.constant(1.0)}


@pytest.mark.fault("P11")
def test_a_model_without_an_optimizer_ends_no_callback(tmp_path: Path) -> None:
    plain = small_model()
    model = NoOptimizer(plain.inputs, plain.outputs)
    model.compile(optimizer=None)
    own = [TensorBoard(tmp_path), StepProgress(), TerminateOnSignal()]
    history = train(model, own, steps=2)
    assert history.history["seen"] == [1.0]


class OwnLogs(keras.Model):
    """Returns results that no metric of the model holds, as a GAN may."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"g_loss": loss, "each": tf.stack([loss, 2 * loss])}


@pytest.mark.fault("C09")
@pytest.mark.parametrize("order", [1, -1])
def test_results_of_a_custom_step_come_from_the_logs(
    tmp_path: Path, order: int
) -> None:
    plain = stock_model()
    model = OwnLogs(plain.inputs, plain.outputs)
    model.compile("sgd", plain.loss)
    losses = LossesSeen()
    board = TensorBoard(tmp_path, update_freq=2)
    evaluation = StepEvaluation(small_arrays(9), eval_freq=2)
    train(model, [losses, *[board, evaluation][::order]], steps=4)
    points = curve(tmp_path, "train", "g_loss")
    assert points == pytest.approx({2: losses.seen[1], 4: losses.seen[3]})
    assert curve(tmp_path, "train", "each_1")[4] == pytest.approx(
        2 * losses.seen[3]
    )


class LossesSeen(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(logs["g_loss"])
