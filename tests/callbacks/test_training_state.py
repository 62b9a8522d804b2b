"""A training that was killed goes on as if nothing had happened."""

from collections.abc import Iterator
from collections.abc import Sequence
import errno
import json
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import TrainingState
from keras_port.callbacks import _snapshots
from keras_port.callbacks._callback_states import get_state
from keras_port.checkpoints.snapshot import read_snapshot
from keras_port.checkpoints.snapshot import write_snapshot
from keras_port.layers import Dropout
from keras_port.training import GradientModel
from tests.callbacks.scripted import StopAt
from tests.callbacks.scripted import wait_for_snapshots
from tests.small import same_weights
from tests.small import small_batches
from tests.small import small_model
from tests.small_disk import fill
from tests.small_disk import mount

# Best at 800, one miss at 900, killed at 950; without the kill it stops at
# 1,100, three misses after the best.
RUN = """
import json, os, signal, sys
from tests.callbacks.scripted import *
from tests.small import *
from keras_port.callbacks import StepEarlyStopping, TrainingState

folder, kill_at = sys.argv[1], int(sys.argv[2])

class Kill(StopAt):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            wait_for_snapshots()
            os.kill(os.getpid(), signal.SIGKILL)

state = TrainingState(folder, save_freq=100)
stopping = StepEarlyStopping(patience=3)
values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] + [0.75] * 20
model = small_model(optimizer="adam")
start = state.step
model.fit(
    small_batches(start_batch=start),
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


@pytest.mark.slow
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
    model: keras.Model,
    folder: Path,
    *,
    steps: int,
    stop: int | None = None,
    save_freq: int = 4,
    more: Sequence[keras.callbacks.Callback] = (),
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Trains to `steps`, from where the folder's state is."""
    state = TrainingState(folder, save_freq=save_freq)
    callbacks: list[keras.callbacks.Callback] = [state, *more]
    if stop is not None:
        callbacks.append(StopAt(stop))
    history = model.fit(
        small_batches(start_batch=state.step),
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


def broken_ways(content: bytes) -> list[bytes]:
    """Returns a file cut off or with one bit flipped, each in many places."""
    chance = np.random.default_rng(1)
    cut = [0, 1, len(content) - 1, *chance.integers(2, len(content), 20)]
    broken = [content[:length] for length in cut]
    for place in chance.integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[place] ^= 1 << chance.integers(8)
        broken.append(bytes(flipped))
    return broken


def test_a_broken_snapshot_is_named_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fit(noisy_model(), tmp_path, steps=8)
    newest = tmp_path / "state-00000008.npz"
    whole = read_snapshot(newest)
    refused = 0
    for content in broken_ways(newest.read_bytes()):
        newest.write_bytes(content)
        try:
            found = read_snapshot(newest)
        except ValueError:
            refused += 1
            caplog.clear()
            assert TrainingState(tmp_path).step == 4
            assert f"{newest.name} is not a complete snapshot" in caplog.text
        else:
            # A bit of the container that means nothing, as of a file's date.
            np.testing.assert_equal(found, whole)
    assert refused > 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of its own, of 256 KiB."""
    with mount(tmp_path / "disk") as directory:
        yield directory


def test_a_disk_that_becomes_full_loses_nothing(
    small_disk: Path, tmp_path: Path
) -> None:
    plain, _ = fit(noisy_model(), tmp_path / "plain", steps=20)

    class Filling(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) == 6:
                wait_for_snapshots()  # The one of step 4 still fits.
                fill(small_disk)

    with pytest.raises(OSError, match=r"Step 8: .*No space left.*same command"):
        fit(noisy_model(), small_disk, steps=20, more=[Filling()])
    # Another start says so before any training.
    with pytest.raises(OSError, match="No space left"):
        fit(noisy_model(), small_disk, steps=20)
    (small_disk / "filling").unlink()
    assert TrainingState(small_disk).step == 4
    resumed, _ = fit(noisy_model(), small_disk, steps=20)
    for left, right in zip(resumed, plain, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not list(small_disk.glob(".partial-*"))


def write_slowly(path: Path, *content: Any) -> None:
    time.sleep(0.5)
    write_snapshot(path, *content)


def fill_the_disk(path: Path, *content: Any) -> None:
    raise OSError(errno.ENOSPC, f"{path} could not be written")


@pytest.mark.parametrize(
    ("write", "step"), [(write_slowly, 4), (fill_the_disk, 0)]
)
def test_a_fit_after_an_interrupt_waits_for_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, step: int
) -> None:
    class Interrupt(StopAt):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) == self.step:
                raise KeyboardInterrupt

    plain, _ = fit(noisy_model(), tmp_path / "plain", steps=20)
    with monkeypatch.context() as patch:
        patch.setattr(_snapshots, "write_snapshot", write)
        with pytest.raises(KeyboardInterrupt):
            fit(noisy_model(), tmp_path / "cut", steps=20, more=[Interrupt(5)])
        assert TrainingState(tmp_path / "cut").step == step
    resumed, _ = fit(noisy_model(), tmp_path / "cut", steps=20)
    assert same_weights(resumed, plain)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    fit(noisy_model(), tmp_path, steps=16)
    names = sorted(path.name for path in tmp_path.glob("*.npz"))
    assert names == ["state-00000012.npz", "state-00000016.npz"]


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    fit(noisy_model(), tmp_path, steps=8)
    with pytest.raises(ValueError, match="a different model"):
        fit(small_model(optimizer="adam"), tmp_path, steps=12)


@pytest.mark.parametrize(
    ("optimizer", "difference"),
    [
        (keras.optimizers.SGD(), "optimizer Adam there, SGD here"),
        (keras.optimizers.Adam(0.5), "learning_rate 0.00.* there, 0.5 here"),
    ],
)
def test_a_state_of_another_configuration_is_refused(
    tmp_path: Path, optimizer: Any, difference: str
) -> None:
    fit(small_model(optimizer="adam"), tmp_path, steps=8)
    with pytest.raises(ValueError, match=difference):
        fit(small_model(optimizer=optimizer), tmp_path, steps=12)


@pytest.mark.fault("B20")
def test_a_model_without_weights_resumes(tmp_path: Path) -> None:
    def run(steps: int) -> keras.Model:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Dense(3)])
        model.compile("adam", "mse")
        state = TrainingState(tmp_path)
        data = tf.data.Dataset.from_tensors((np.ones((2, 4)), np.ones((2, 3))))
        model.fit(
            data.repeat(),
            steps_per_epoch=steps - state.step,
            shuffle=False,
            callbacks=[state],
            verbose=0,
        )
        return model

    run(3)
    assert int(run(5).optimizer.iterations) == 5
    assert TrainingState(tmp_path).step == 5


@pytest.mark.fault("B21")
def test_the_learning_rate_goes_on(tmp_path: Path) -> None:
    def build() -> keras.Model:
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [5, 10], [0.1, 0.01, 0.001]
        )
        return small_model(optimizer=keras.optimizers.SGD(schedule))

    plain, _ = fit(build(), tmp_path / "plain", steps=12)
    fit(build(), tmp_path / "resumed", steps=7)
    model = build()
    resumed, _ = fit(model, tmp_path / "resumed", steps=12)
    assert float(model.optimizer.learning_rate) == np.float32(0.001)
    assert same_weights(resumed, plain)


@pytest.mark.fault("B15")
def test_a_crash_in_an_epoch_repeats_no_data(tmp_path: Path) -> None:
    class Crash(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) == 15:
                raise RuntimeError("crashed")

    plain, _ = fit(small_model(optimizer="adam"), tmp_path / "plain", steps=20)
    with pytest.raises(RuntimeError, match="crashed"):
        fit(
            small_model(optimizer="adam"),
            tmp_path / "crashed",
            steps=20,
            save_freq=1,
            more=[Crash()],
        )
    wait_for_snapshots()  # As the end of the process would.
    # The snapshot of 14, taken before step 15, which crashed.
    assert TrainingState(tmp_path / "crashed").step == 14
    model = small_model(optimizer="adam")
    resumed, _ = fit(model, tmp_path / "crashed", steps=20)
    assert int(model.optimizer.iterations) == 20
    assert same_weights(resumed, plain)


def test_gradients_that_wait_are_kept(tmp_path: Path) -> None:
    def build() -> GradientModel:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        model = GradientModel(inputs, keras.layers.Dense(3)(inputs))
        model.compile("adam", "mse", gradient_accumulation_steps=4)
        return model

    def train(model: GradientModel, folder: Path, batches: int) -> None:
        state = TrainingState(folder, save_freq=1)
        numbers = np.random.default_rng(1).normal(size=(20, 2, 4))
        data = tf.data.Dataset.from_tensor_slices(
            (numbers.astype("float32"), numbers[:, :, :3].astype("float32"))
        ).skip(state.batches_seen)
        model.fit(
            data,
            steps_per_epoch=batches - state.batches_seen,
            callbacks=[state],
            verbose=0,
        )

    plain = build()
    train(plain, tmp_path / "plain", 18)
    # Ten batches are two updates, and two gradients that wait.
    train(build(), tmp_path / "resumed", 10)
    state = TrainingState(tmp_path / "resumed")
    assert (state.step, state.batches_seen) == (2, 10)
    resumed = build()
    train(resumed, tmp_path / "resumed", 18)
    assert int(resumed.optimizer.iterations) == 4
    assert same_weights(resumed.get_weights(), plain.get_weights())


def test_the_same_program_again_skips_what_is_done(tmp_path: Path) -> None:
    def train(
        directory: Path, *names: str, steps: int = 6, stop: int | None = None
    ) -> keras.Model:
        model = small_model()
        state = TrainingState(directory)
        for name in names:
            getattr(state, name)
        more = [] if stop is None else [StopAt(stop)]
        model.fit(
            small_batches(),
            steps_per_epoch=steps,
            callbacks=[*more, state],
            verbose=0,
        )
        return model

    plain = train(tmp_path / "plain")
    train(tmp_path / "again", stop=2)
    again = train(tmp_path / "again")
    assert int(again.optimizer.iterations) == 6
    assert same_weights(again.get_weights(), plain.get_weights())
    # And once more: it is finished.
    assert int(train(tmp_path / "again").optimizer.iterations) == 6
    # A larger target goes on from there.
    longer = train(tmp_path / "again", steps=8)
    assert int(longer.optimizer.iterations) == 8
    # The program that reads the step has left out what is done.
    more = train(tmp_path / "again", "step", steps=1)
    assert int(more.optimizer.iterations) == 9


def test_the_step_is_no_position_where_gradients_were_accumulated(
    tmp_path: Path,
) -> None:
    def train(name: str, steps: int) -> keras.Model:
        model = small_model(gradient_accumulation_steps=2)
        state = TrainingState(tmp_path)
        getattr(state, name)
        model.fit(
            small_batches(),
            steps_per_epoch=steps,
            callbacks=[state],
            verbose=0,
        )
        return model

    train("step", 4)
    with pytest.raises(ValueError, match="and not `batches_seen`"):
        train("step", 4)
    assert int(train("batches_seen", 2).optimizer.iterations) == 3


def test_a_second_fit_of_the_same_model_skips_nothing(tmp_path: Path) -> None:
    model, state = small_model(), TrainingState(tmp_path)
    for _ in range(2):
        model.fit(
            small_batches(), steps_per_epoch=2, callbacks=[state], verbose=0
        )
    assert int(model.optimizer.iterations) == 4


def test_any_callback_can_take_part(tmp_path: Path) -> None:
    class Count(keras.callbacks.Callback):  # type: ignore[misc]
        count = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.count += 1

        def get_state(self) -> dict[str, Any]:
            return {"count": self.count}

        def set_state(self, state: dict[str, Any]) -> None:
            self.count = state["count"]

    def train(steps: int) -> Count:
        count = Count()
        state = TrainingState(tmp_path, stateful_callbacks=[count])
        small_model().fit(
            small_batches(start_batch=state.batches_seen),
            steps_per_epoch=steps - state.step,
            callbacks=[count, state],
            verbose=0,
        )
        return count

    train(3)
    assert train(8).count == 8


def test_a_callback_without_the_two_methods_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Received: History, which has no"):
        TrainingState(tmp_path, stateful_callbacks=[keras.callbacks.History()])


def test_the_history_goes_on(tmp_path: Path) -> None:
    def train(epochs: int, done: int) -> keras.callbacks.History:
        state = TrainingState(tmp_path)
        return small_model().fit(
            small_batches(start_batch=state.batches_seen),
            steps_per_epoch=4,
            epochs=epochs,
            initial_epoch=done,
            callbacks=[state],
            verbose=0,
        )

    first = train(2, 0)
    second = train(3, 2)
    assert second.epoch == [0, 1, 2]
    assert second.history["loss"][:2] == first.history["loss"]
    assert len(second.history["loss"]) == 3


def test_two_trainings_at_once_are_refused(tmp_path: Path) -> None:
    hold = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); "
        "fcntl.flock(f, fcntl.LOCK_EX); f.write('77'); f.flush(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OSError, match=r"another training.*77"):
            fit(small_model(), tmp_path, steps=4)
        other.communicate("")
    fit(small_model(), tmp_path, steps=4)
    assert TrainingState(tmp_path).step == 4


def test_a_write_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    fit(small_model(), tmp_path, steps=4)
    monkeypatch.setattr(_snapshots, "write_snapshot", full)
    with pytest.raises(OSError, match=r"Step 8: .*No space left.*same command"):
        fit(small_model(), tmp_path, steps=8)
    assert TrainingState(tmp_path).step == 4


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


def test_a_state_that_changes_while_it_is_written_is_a_copy() -> None:
    class Counter(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen = [1]

        def get_state(self) -> dict[str, Any]:
            return {"seen": self.seen, "in": {"list": [self.seen]}}

        def set_state(self, state: dict[str, Any]) -> None:
            pass

    counter = Counter()
    state = get_state("Counter", counter)
    counter.seen.append(2)
    assert state == {"seen": [1], "in": {"list": [[1]]}}
