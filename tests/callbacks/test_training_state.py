"""A training that was killed goes on as if nothing had happened."""

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import TrainingState
from keras_port.checkpoints.snapshot import read_snapshot
from keras_port.checkpoints.snapshot import write_snapshot
from keras_port.layers import Dropout
from tests.callbacks.scripted import StopAt
from tests.callbacks.scripted import small_batches
from tests.callbacks.scripted import small_model

# Best at 800, one miss at 900, killed at 950; without the kill it stops at
# 1,100, three misses after the best.
RUN = """
import json, os, signal, sys
from tests.callbacks.scripted import *
from keras_port.callbacks import StepEarlyStopping, TrainingState

folder, kill_at = sys.argv[1], int(sys.argv[2])

class Kill(StopAt):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

state = TrainingState(folder, save_freq=100)
stopping = StepEarlyStopping(patience=3)
values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] + [0.75] * 20
model = small_model(optimizer="adam")
start = state.step
model.fit(
    small_batches(start_step=start),
    steps_per_epoch=2000 - start,
    callbacks=[state, ScriptedEvaluation(values), stopping, Kill(kill_at)],
    verbose=0,
)
print(json.dumps({
    "start": start,
    "best_step": stopping.best_step,
    "stopped_step": stopping.stopped_step,
    "iterations": int(model.optimizer.iterations),
    "weights": [w.tolist() for w in model.get_weights()],
    "slots": [v.numpy().tolist() for v in model.optimizer.variables],
}))
"""


def run(folder: Path, *, kill_at: int = 0) -> dict[str, Any] | None:
    """Runs the training in a new process; `None` if it was killed."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN, folder, str(kill_at)],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )
    if kill_at and ended.returncode == -9:
        return None
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


@pytest.mark.fault("B08")
def test_best_and_patience_survive_a_kill(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain")
    assert plain is not None
    assert (plain["best_step"], plain["stopped_step"]) == (800, 1100)
    assert run(tmp_path / "killed", kill_at=950) is None
    resumed = run(tmp_path / "killed")
    assert resumed is not None
    assert resumed.pop("start") == 900
    assert plain.pop("start") == 0
    assert resumed == plain


def noisy_model() -> keras.Model:
    """Returns a model with dropout, for what only random states can spoil."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(16, activation="relu")(inputs)
    x = Dropout(rate=0.5)(x)
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def fit(
    model: keras.Model, folder: Path, *, steps: int, stop: int | None = None
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Trains to `steps`, from where the folder's state is."""
    state = TrainingState(folder, save_freq=4)
    callbacks: list[keras.callbacks.Callback] = [state]
    if stop is not None:
        callbacks.append(StopAt(stop))
    history = model.fit(
        small_batches(start_step=state.step),
        steps_per_epoch=steps - state.step,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(v) for v in variables], history.history


@pytest.mark.parametrize("stop", [6, 8])
def test_a_stopped_training_goes_on_to_the_same_bits(
    tmp_path: Path, stop: int
) -> None:
    plain, plain_history = fit(noisy_model(), tmp_path / "a", steps=20)
    fit(noisy_model(), tmp_path / "b", steps=20, stop=stop)
    assert TrainingState(tmp_path / "b").step == stop
    resumed, history = fit(noisy_model(), tmp_path / "b", steps=20)
    for left, right in zip(resumed, plain, strict=True):
        np.testing.assert_array_equal(left, right)
    assert set(history) == set(plain_history)


def test_a_broken_snapshot_is_named_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(noisy_model(), tmp_path, steps=8)
    newest = tmp_path / "state-00000008.npz"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)
    with pytest.raises(ValueError, match="not a whole snapshot"):
        read_snapshot(newest)
    assert TrainingState(tmp_path).step == 4


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    fit(noisy_model(), tmp_path, steps=16)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["state-00000012.npz", "state-00000016.npz"]


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    fit(noisy_model(), tmp_path, steps=8)
    with pytest.raises(ValueError, match="of another model"):
        fit(small_model(), tmp_path, steps=12)


def test_a_model_without_weights_cannot_resume(tmp_path: Path) -> None:
    def run() -> None:
        model = keras.Sequential([keras.layers.Dense(3)])
        model.compile("sgd", "mse")
        state = TrainingState(tmp_path)
        model.fit(
            np.ones((2, 4)), np.ones((2, 3)), callbacks=[state], verbose=0
        )

    run()
    with pytest.raises(ValueError, match="has its weights"):
        run()


@pytest.mark.parametrize("name", ["save_freq", "max_to_keep"])
def test_wrong_counts_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}`"):
        TrainingState(tmp_path, **{name: 0})


def test_snapshots_keep_every_kind_of_value(tmp_path: Path) -> None:
    half = tf.constant([1.5, -2.0], tf.bfloat16).numpy()
    content = {
        "numbers": [1, 2.5, None, "text", True],
        "arrays": {"f64": np.eye(2), "bf16": half, "scalar": np.array(3)},
    }
    path = tmp_path / "snapshot.npz"
    write_snapshot(path, content)
    loaded = read_snapshot(path)
    assert loaded["numbers"] == content["numbers"]
    for name, array in content["arrays"].items():
        assert loaded["arrays"][name].dtype == array.dtype
        np.testing.assert_array_equal(loaded["arrays"][name], array)
