"""Stops that lost something: in a window of gradients, in an epoch."""

from collections.abc import Callable
from pathlib import Path
import signal
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TerminateOnSignal
from keras_port.callbacks import TrainingState
from keras_port.training import GradientModel
from tests.callbacks.scripted import wait_for_snapshots
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model


class StopAfter(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops, or raises an error, after so many batches."""

    def __init__(self, batches: int, how: str) -> None:
        super().__init__()
        self.batches = batches
        self.how = how

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops the training."""
        if batch + 1 != self.batches:
            return
        if self.how == "error":
            raise RuntimeError("stopped")
        if self.how == "stop":
            self.model.stop_training = True
        else:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.fault("R2")
@pytest.mark.parametrize("how", ["stop", "signal"])
@pytest.mark.parametrize(
    "batches",
    [1, 3, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 4))],
)
def test_a_stop_in_the_first_window_loses_no_gradients(
    tmp_path: Path, batches: int, how: str
) -> None:
    def start(workdir: Path, *more: Any) -> keras.Model:
        model = small_model(gradient_accumulation_steps=3)
        state = TrainingState(workdir, save_freq=2)
        model.fit(
            small_batches(start_batch=state.batches_seen),
            steps_per_epoch=15 - state.batches_seen,
            callbacks=[*more, state],
            verbose=0,
        )
        return model

    expected = start(tmp_path / "whole")
    start(tmp_path / "cut", StopAfter(batches, how), TerminateOnSignal())
    assert TrainingState(tmp_path / "cut").batches_seen == batches
    found = start(tmp_path / "cut")
    assert int(found.optimizer.iterations) == 5
    assert same_weights(found.get_weights(), expected.get_weights())


def stock_model() -> keras.Model:
    """Returns a model of Keras' own class."""
    model = small_model()
    model = keras.Model(model.inputs, model.outputs)
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def own_step_model() -> keras.Model:
    """Returns a model whose step and metrics are the program's own."""

    class OwnStep(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)
            self.seen = keras.metrics.Mean(name="seen")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with tf.GradientTape() as tape:
                losses = keras.losses.sparse_categorical_crossentropy(
                    y, self(x, training=True), from_logits=True
                )
                loss = tf.reduce_mean(losses)
            weights = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            self.seen.update_state(loss)
            return {"seen": self.seen.result()}

    keras.utils.set_random_seed(3)
    model = OwnStep()
    model(small_arrays()[0])
    model.compile(optimizer="sgd")
    return model


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.fault("R3")
@pytest.mark.parametrize("more", ["nothing", "evaluation"])
@pytest.mark.parametrize(
    "make", [small_model, stock_model, own_step_model], ids=lambda f: f.__name__
)
def test_the_running_metrics_of_an_epoch_go_on(
    tmp_path: Path, make: Callable[[], GradientModel], more: str
) -> None:
    def start(workdir: Path, *more: Any) -> dict[str, list[float]]:
        state = TrainingState(workdir, save_freq=2)
        history = make().fit(
            small_batches(start_batch=state.batches_seen),
            steps_per_epoch=9 - state.step,
            callbacks=[*more, state],
            verbose=0,
        )
        return dict(history.history)

    def evaluation() -> list[Any]:
        if more == "nothing" or make is own_step_model:
            return []
        return [StepEvaluation(small_arrays(16), eval_freq=4)]

    expected = start(tmp_path / "whole", *evaluation())
    with pytest.raises(RuntimeError, match="stopped"):
        start(tmp_path / "cut", *evaluation(), StopAfter(7, "error"))
    wait_for_snapshots()
    found = start(tmp_path / "cut", *evaluation())
    assert found == expected
    assert all(np.isfinite(values).all() for values in found.values())
