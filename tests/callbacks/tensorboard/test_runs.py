"""Files that hold one whole run, whatever ends or resumes it."""

from collections.abc import Callable
import gc
from pathlib import Path
import shutil
import subprocess
import sys
import time
from typing import Any
from unittest import mock
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.callbacks import TrainingState
from keras_port.callbacks.tensorboard.event_files import SUFFIX
from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import get_last_step
from keras_port.callbacks.tensorboard.event_files import keep_steps
from keras_port.callbacks.tensorboard.event_files import make_room
from keras_port.callbacks.tensorboard.open_run import close_run
from keras_port.callbacks.tensorboard.runs import RunWriters
from keras_port.callbacks.tensorboard.step_scalars import StepScalars
from tests.callbacks.scripted import StopAt
from tests.callbacks.tensorboard.networks import train
from tests.callbacks.tensorboard.written import curve
from tests.callbacks.tensorboard.written import events_of
from tests.callbacks.tensorboard.written import graphs
from tests.callbacks.tensorboard.written import steps_of
from tests.callbacks.tensorboard.written import written
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model


class At(keras.callbacks.Callback):
    """Calls a function behind a step."""

    def __init__(self, step: int, function: Callable[[], Any]) -> None:
        super().__init__()
        self.step = step
        self.function = function

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            self.function()


def broken() -> None:
    """Raises, as somebody's callback may."""
    raise RuntimeError("broken callback")


def wait_for(path: Path) -> None:
    """Waits until a thread of the training has written a file."""
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} never came"
        time.sleep(0.01)


def plain_curves(folder: Path) -> dict[tuple[str, str], dict[int, float]]:
    """Returns all curves but those of the speed."""
    return {
        (run, tag): curve(folder, run, tag)
        for run, tags in written(folder).items()
        for tag in tags
        if tag
        in (
            "loss",
            "accuracy",
            "optimizer/learning_rate",
            "optimizer/gradient_norm",
        )
    }


@pytest.mark.fault("B28")
def test_after_a_kill_and_a_resume_the_curves_are_those_of_one_run(
    tmp_path: Path,
) -> None:
    def callbacks(name: str) -> list[keras.callbacks.Callback]:
        return [
            TensorBoard(tmp_path / name, histogram_freq=2),
            StepEvaluation(small_arrays(9), eval_freq=2),
        ]

    train(small_model(), callbacks("whole"), steps=10)

    def kill() -> None:
        # What is on the disk at step 7 is what a kill leaves: a snapshot of
        # step 4, and curves up to some later step.
        board.get_state()
        wait_for(tmp_path / "state" / "state-00000004.npz")
        shutil.copytree(tmp_path / "logs", tmp_path / "killed")
        shutil.copytree(tmp_path / "state", tmp_path / "killed_state")

    board, evaluation = callbacks("logs")
    state = TrainingState(tmp_path / "state", save_freq=4)
    train(small_model(), [state, board, evaluation, At(7, kill)], steps=10)
    assert max(curve(tmp_path / "killed", "train", "loss")) == 7
    # The last record was being written.
    path = event_files(tmp_path / "killed" / "train")[-1]
    path.write_bytes(path.read_bytes()[:-5])

    state = TrainingState(tmp_path / "killed_state", save_freq=4)
    assert state.step == 4
    small_model().fit(
        small_batches(start_batch=4),
        steps_per_epoch=6,
        callbacks=[state, *callbacks("killed")],
        verbose=0,
    )
    killed = plain_curves(tmp_path / "killed")
    assert killed == plain_curves(tmp_path / "whole")
    assert list(killed["train", "loss"]) == list(range(1, 11))
    assert list(killed["validation", "loss"]) == [2, 4, 6, 8, 10]
    histograms = steps_of(tmp_path / "killed", "train", "dense/kernel")
    assert histograms == [1, 2, 4, 6, 8, 10]
    assert len(graphs(tmp_path / "killed" / "train")) == 1


def write_steps(folder: Path, steps: range, suffix: str = SUFFIX) -> Path:
    """Writes a curve `x`, and returns its file."""
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=suffix)
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("x", float(step), step)
    writer.close()
    return max(folder.glob("events.out.tfevents.*"))


@pytest.mark.fault("B28")
def test_a_record_that_is_cut_off_anywhere_loses_itself_only(
    tmp_path: Path,
) -> None:
    path = write_steps(tmp_path, range(1, 4))
    whole = path.read_bytes()
    record = len(whole) // 4
    for cut in range(1, record, 7):
        path.write_bytes(whole[:-cut])
        assert get_last_step(tmp_path) == 2
        keep_steps(tmp_path, 9)
        assert steps_of(tmp_path, "", "x") == [1, 2]
        # A later writer goes on behind whole records.
        assert whole.startswith(path.read_bytes())


@pytest.mark.fault("B28")
def test_later_steps_go_and_a_file_with_none_is_not_touched(
    tmp_path: Path,
) -> None:
    path = write_steps(tmp_path, range(1, 6))
    before = path.stat()
    keep_steps(tmp_path, 5)
    assert path.stat().st_ino == before.st_ino
    keep_steps(tmp_path, 3)
    assert steps_of(tmp_path, "", "x") == [1, 2, 3]
    assert next(events_of(tmp_path)).file_version == "brain.Event:2"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    path = write_steps(tmp_path / "train", range(1, 6))
    for name in (path.name, "labels.tsv"):
        (path.parent / f".partial-99999999.abc-{name}").mkdir()
    make_room(tmp_path, 5, overwrite=False)
    assert list(path.parent.iterdir()) == event_files(path.parent)


def test_all_is_on_the_disk_when_fit_ends(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    evaluation = StepEvaluation(small_arrays(9), eval_freq=2)
    train(small_model(), [StopAt(3), board, evaluation], steps=9)
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]
    assert steps_of(tmp_path, "validation", "loss") == [2]
    assert board._run is None


def test_after_an_exception_the_next_fit_finds_all(tmp_path: Path) -> None:
    model = small_model()
    board = TensorBoard(tmp_path)
    with pytest.raises(RuntimeError, match="broken callback"):
        train(model, [board, At(3, broken)], steps=9)
    train(model, [board], steps=2)
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3, 4, 5]


def test_a_broken_training_stays_in_no_memory_and_loses_nothing(
    tmp_path: Path,
) -> None:
    model = small_model()
    with pytest.raises(RuntimeError, match="broken callback"):
        train(model, [TensorBoard(tmp_path), At(3, broken)], steps=9)
    gone = weakref.ref(model)
    del model
    keras.utils.clear_session()
    gc.collect()
    assert gone() is None
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]


BROKEN = """
import sys
from tests.callbacks.tensorboard.test_runs import *

# Not in a function, so that the process ends with all of it in memory.
model, board = small_model(), TensorBoard(sys.argv[1])
train(model, [board, At(3, broken)], steps=9)
"""


def test_after_an_exception_all_is_on_the_disk_when_the_process_ends(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", BROKEN, tmp_path],
        cwd=Path(__file__).parents[3],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1, ended.stderr
    assert "RuntimeError: broken callback" in ended.stderr
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]


def test_another_run_is_refused_before_the_first_step(tmp_path: Path) -> None:
    train(small_model(), [TensorBoard(tmp_path)], steps=3)
    model = small_model()
    with pytest.raises(ValueError, match=r"train holds curves up to step 3"):
        train(model, [TensorBoard(tmp_path)], steps=2)
    assert int(model.optimizer.iterations) == 0
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]


def test_overwrite_replaces_the_other_run_and_nothing_else(
    tmp_path: Path,
) -> None:
    evaluation = StepEvaluation(small_arrays(9), eval_freq=1)
    train(small_model(), [TensorBoard(tmp_path), evaluation], steps=3)
    write_steps(tmp_path / "other", range(1, 3), ".v2")
    board = TensorBoard(tmp_path, overwrite=True, hparams={"rate": 0.1})
    train(small_model(), [board], steps=2)
    runs = written(tmp_path)
    assert steps_of(tmp_path, "train", "loss") == [1, 2]
    assert "validation" not in runs
    assert steps_of(tmp_path, "other", "x") == [1, 2]
    assert len(graphs(tmp_path / "train")) == 1


def test_a_training_that_fails_in_its_first_step_can_be_mended(
    tmp_path: Path,
) -> None:
    wrong = tf.data.Dataset.from_tensors((tf.ones((2, 5)), tf.ones(2)))
    board = TensorBoard(tmp_path, hparams={"rate": 0.1})
    with pytest.raises(ValueError, match="incompatible"):
        small_model().fit(wrong, callbacks=[board], verbose=0)
    train(small_model(), [TensorBoard(tmp_path)], steps=2)
    assert steps_of(tmp_path, "train", "loss") == [1, 2]


def test_a_folder_that_cannot_be_written_is_an_error_before_training() -> None:
    model = small_model()
    with pytest.raises(OSError, match=r"/proc/keras_port cannot be written to"):
        train(model, [TensorBoard("/proc/keras_port")], steps=2)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"update_freq": 0}, "`update_freq`"),
        ({"update_freq": 1.5}, "`update_freq`"),
        ({"histogram_freq": -1}, "`histogram_freq`"),
        ({"profile_batch": (3, 2)}, "`profile_batch`"),
        ({"profile_batch": (0, 2)}, "`profile_batch`"),
        ({"profile_batch": 5}, "`profile_batch`"),
        ({"data": np.ones(3)}, "`data`"),
        ({"data": (1, 2, 3)}, "`data`"),
        ({"hparams": {"layer": object()}}, "`hparams`.*str.*object"),
        ({"hparams": {1: 2}}, "`hparams`.*names.*int"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, options: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        TensorBoard(tmp_path, **options)


@pytest.mark.parametrize(
    "names", [("train",), ("val", "validation"), ("test", "train")]
)
def test_an_evaluation_never_shares_a_folder(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    model = small_model()
    evaluations = [
        StepEvaluation(small_arrays(), prefix=name) for name in names
    ]
    with pytest.raises(ValueError, match="mixed with others"):
        train(model, [TensorBoard(tmp_path), *evaluations], steps=2)
    assert int(model.optimizer.iterations) == 0


class OwnSummaries(keras.callbacks.Callback):
    """Writes with the default writer, as a user's own callback does."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        tf.summary.scalar("own", 2.0 * batch)


def test_other_writers_go_on_beside_it(tmp_path: Path) -> None:
    default = tf.summary.create_file_writer(str(tmp_path))
    other = tf.summary.create_file_writer(str(tmp_path / "mine"))
    with default.as_default(step=70):
        callbacks = [
            OwnSummaries(),
            TensorBoard(tmp_path, histogram_freq=1, hparams={"rate": 0.1}),
            StepEvaluation(small_arrays(9), eval_freq=1),
            OwnSummaries(),
        ]
        model = small_model()
        train(model, callbacks, steps=2)
        assert tf.summary.experimental.get_step() == 70
        tf.summary.scalar("later", 1.0)
        with other.as_default(step=1):
            tf.summary.scalar("mine", 5.0)
        train(model, callbacks, steps=1)
    default.close()
    other.close()
    runs = written(tmp_path)
    assert set(runs[""]) == {"own", "later"}
    assert [step for step, _ in runs[""]["own"]] == [70] * 6
    assert set(runs["mine"]) == {"mine"}
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]
    assert "own" not in runs["train"]


def test_hyperparameters_are_there_once(tmp_path: Path) -> None:
    values = {"rate": 0.5, "layers": 2, "name": "small", "dropout": False}
    model = small_model()
    board = TensorBoard(tmp_path, hparams=values, tags={"loss": "entropy"})
    evaluation = StepEvaluation(small_arrays(9), eval_freq=1)
    for _ in range(2):
        train(model, [board, evaluation], steps=1)
    found = [
        value
        for run in written(tmp_path)
        for event in events_of(tmp_path / run)
        for value in event.summary.value
        if value.tag.startswith("_hparams_/")
    ]
    assert sorted(value.tag for value in found) == [
        "_hparams_/experiment",
        "_hparams_/session_start_info",
    ]
    content = {v.tag: v.metadata.plugin_data.content for v in found}
    for name in values:
        assert name.encode() in content["_hparams_/session_start_info"]
    for part in (b"entropy", b"accuracy"):
        assert part in content["_hparams_/experiment"]


@pytest.mark.fault("C60")
def test_hyperparameters_may_be_of_numpy_none_or_lists(tmp_path: Path) -> None:
    values = {
        "rate": np.float32(0.5),
        "units": np.int64(64),
        "is_deep": np.bool_(True),
        "zero_dim": np.array(3),
        "tensor": tf.constant(2.5),
        "decay": None,
        "layers": [np.int64(64), 32],
        "shape": np.array([1.5, 2]),
        "optimizer": {"name": "sgd", "momentum": np.float64(0.9)},
    }
    board = TensorBoard(tmp_path, hparams=values)
    assert board.hparams == {
        "rate": 0.5,
        "units": 64,
        "is_deep": True,
        "zero_dim": 3,
        "tensor": 2.5,
        "decay": "None",
        "layers": "[64, 32]",
        "shape": "[1.5, 2.0]",
        "optimizer": "{'name': 'sgd', 'momentum': 0.9}",
    }
    assert type(board.hparams["units"]) is int
    train(small_model(), [board], steps=1)
    tags = {
        value.tag
        for event in events_of(tmp_path / "train")
        for value in event.summary.value
    }
    assert "_hparams_/session_start_info" in tags


def test_an_evaluation_after_the_training_is_written_too(
    tmp_path: Path,
) -> None:
    evaluation = StepEvaluation(small_arrays(9), eval_freq=2)
    train(small_model(), [TensorBoard(tmp_path), evaluation], steps=3)
    results = evaluation.evaluate()
    losses = curve(tmp_path, "validation", "loss")
    assert list(losses) == [2, 3]
    assert losses[3] == pytest.approx(results["val_loss"])
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3]


def test_a_profile_of_the_steps_that_were_asked_for(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, write_graph=False, profile_batch=(2, 3))
    seen: list[bool] = []

    def look() -> None:
        profile = board._run.profile if board._run else None
        seen.append(profile is not None and profile.is_running)

    watch = [At(n, look) for n in range(1, 6)]
    train(small_model(), [*watch, board], steps=5)
    assert seen == [False, True, True, False, False]
    assert list((tmp_path / "train" / "plugins" / "profile").glob("*/*"))
    # The profiler's own event file is no other run.
    assert steps_of(tmp_path, "train", "loss") == [1, 2, 3, 4, 5]


def test_a_profile_ends_with_the_training(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, write_graph=False, profile_batch=(2, 9))
    train(small_model(), [board], steps=3)
    assert list((tmp_path / "train" / "plugins" / "profile").glob("*/*"))


def test_a_split_that_does_not_fit_is_refused_before_the_first_step(
    tmp_path: Path, small_mnist: datasets.Splits
) -> None:
    model = small_model()
    board = TensorBoard(tmp_path, data=small_mnist.test)
    with pytest.raises(ValueError, match="784 pixels"):
        train(model, [board], steps=1)
    assert int(model.optimizer.iterations) == 0


def test_closing_while_a_graph_is_built_is_no_part_of_it(
    tmp_path: Path,
) -> None:
    writers = RunWriters(tmp_path)
    writers.get("train")
    scalars = mock.create_autospec(StepScalars, instance=True)

    @tf.function  # type: ignore[untyped-decorator]
    def step() -> tf.Tensor:
        close_run(scalars, lambda: None, writers)
        return tf.constant(1)

    graph = step.get_concrete_function().graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert not [kind for kind in kinds if "Summary" in kind]
    scalars.close.assert_called_once_with()
