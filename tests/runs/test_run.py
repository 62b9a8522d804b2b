"""A run resumes to the same bits, and cannot be resumed by halves."""

from collections.abc import Sequence
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from keras_port.callbacks import StepCheckpoint
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.callbacks import TrainingState
from keras_port.checkpoints import read_snapshot_and_notes
from keras_port.runs import Results
from keras_port.runs import Run
from keras_port.runs import get_steps_per_execution
from tests.callbacks.scripted import StopAt
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model

ROOT = Path(__file__).parents[2]


def fit(
    directory: Path,
    max_steps: int,
    *,
    patience: int = 20,
    more: Sequence[keras.callbacks.Callback] = (),
    save_freq: int = 2,
) -> tuple[keras.Model, Results]:
    """Starts or resumes a small run, to its results."""
    run = Run(
        directory,
        settings={"seed": 1},
        max_steps=max_steps,
        save_freq=save_freq,
    )
    model = small_model()
    if run.results is not None:
        return model, run.results
    run.fit(
        model,
        lambda start_batch: small_batches(start_batch=start_batch),
        callbacks=[
            StepEvaluation(small_arrays(), eval_freq=2),
            StepEarlyStopping(patience=patience),
            StepCheckpoint(run.model_path),
            *more,
        ],
    )
    results = run.finish(model, validation=small_arrays(), test=small_arrays())
    return model, results


def without_times(results: Results) -> dict[str, Any]:
    """Returns what two equal runs have in common."""
    content = dict(vars(results))
    del content["seconds"], content["examples_per_second"]
    return content


def test_a_run_leaves_its_files_and_results(tmp_path: Path) -> None:
    _, results = fit(tmp_path / "run", 4)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "history.csv",
        "model.keras",
        "results.json",
        "run.json",
        "state",
    ]
    text = (tmp_path / "run" / "results.json").read_text("utf-8")
    assert json.loads(text) == vars(results)
    assert (results.steps, results.ended_by) == (4, "max_steps")
    assert results.finished


def test_a_longer_run_resumes_to_the_bits_of_one_without_a_pause(
    tmp_path: Path,
) -> None:
    fit(tmp_path / "a", 4)
    resumed, results = fit(tmp_path / "a", 12)
    plain, expected = fit(tmp_path / "b", 12)
    assert same_weights(resumed.get_weights(), plain.get_weights())
    assert without_times(results) == without_times(expected)


KILLED = """
import os, pathlib, signal, sys
import keras
from tests.runs.test_run import fit

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) >= 7:
            os.kill(os.getpid(), signal.SIGKILL)

fit(pathlib.Path(sys.argv[1]), 12, more=[Kill()])
"""


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    resumed, results = fit(tmp_path / "killed", 12)
    plain, expected = fit(tmp_path / "plain", 12)
    assert same_weights(resumed.get_weights(), plain.get_weights())
    assert without_times(results) == without_times(expected)


def test_a_finished_run_trains_no_more(tmp_path: Path) -> None:
    _, results = fit(tmp_path, 4)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    _, again = fit(tmp_path, 4)
    assert again == results
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == files


def test_the_next_start_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Of files that are complete, so that nothing writes them again."""
    fit(tmp_path, 4)
    left = [
        path.with_name(f".partial-99999999.abc-{path.name}")
        for path in (
            *(tmp_path / name for name in ("run.json", "results.json")),
            tmp_path / "model.keras",
        )
    ]
    for path in left:
        path.mkdir()
    another = tmp_path / ".partial-99999999.abc-of_somebody_else"
    another.mkdir()
    fit(tmp_path, 4)
    # And beside the curves, when the results are written.
    left.append(tmp_path / "logs" / "train" / ".partial-99999999.abc-a.png")
    left[-1].mkdir(parents=True)
    (tmp_path / "results.json").unlink()
    fit(tmp_path, 4)
    assert [path for path in left if path.exists()] == []
    assert another.exists()


@pytest.mark.fault("R1")
@pytest.mark.parametrize("patience", [1, 20])
def test_the_fit_of_a_finished_run_restores_its_end(
    tmp_path: Path, patience: int
) -> None:
    trained, results = fit(tmp_path, 40, patience=patience)
    model = small_model()
    run = Run(tmp_path, settings={"seed": 1}, max_steps=40, save_freq=2)
    assert run.results == results
    history = run.fit(
        model,
        lambda start_batch: small_batches(start_batch=start_batch),
        callbacks=[
            StepEvaluation(small_arrays(), eval_freq=2),
            StepEarlyStopping(patience=patience),
            StepCheckpoint(run.model_path),
        ],
    )
    assert same_weights(model.get_weights(), trained.get_weights())
    assert history.history == trained.history.history
    again = run.finish(model, validation=small_arrays(), test=small_arrays())
    assert again == results


def test_a_run_without_its_results_restores_its_end(tmp_path: Path) -> None:
    # As a kill between the last snapshot and the results leaves it.
    trained, results = fit(tmp_path, 4)
    (tmp_path / "results.json").unlink()
    _, notes = read_snapshot_and_notes(tmp_path / "state/state-00000004.npz")
    restored, again = fit(tmp_path, 4)
    assert same_weights(restored.get_weights(), trained.get_weights())
    assert without_times(again) == without_times(results)
    # The time is that of the whole run, up to the newest snapshot.
    assert again.seconds >= notes["seconds"] > 0


@pytest.mark.fault("R1")
def test_a_signal_in_the_last_step_is_not_the_beginning_of_more(
    tmp_path: Path,
) -> None:
    class Signal(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) == 4:
                signal.raise_signal(signal.SIGTERM)

    _, stopped = fit(tmp_path / "stopped", 4, more=[Signal()])
    assert stopped.ended_by == "max_steps"  # All steps were made.
    _, results = fit(tmp_path / "stopped", 4)
    _, expected = fit(tmp_path / "plain", 4)
    assert without_times(results) == without_times(expected)


@pytest.mark.fault("R5")
def test_of_two_starts_at_once_the_first_one_writes(tmp_path: Path) -> None:
    run = Run(tmp_path, settings={"seed": 1}, max_steps=4)
    # The other start, between this one's look and its write.
    (tmp_path / "run.json").write_text('{"seed": 2}')
    with pytest.raises(ValueError, match="seed 2 there, 1 here"):
        run.fit(small_model(), lambda _: small_batches())
    assert (tmp_path / "run.json").read_text() == '{"seed": 2}'
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_batch_that_is_refused_does_not_claim_the_directory(
    tmp_path: Path,
) -> None:
    def refuse(start_batch: int) -> Any:
        raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        Run(tmp_path, settings={"size": 9}, max_steps=2).fit(
            small_model(), refuse
        )
    Run(tmp_path, settings={"size": 8}, max_steps=2).fit(
        small_model(), lambda _: small_batches()
    )


@pytest.mark.slow
@pytest.mark.fault("R5")
def test_a_start_without_the_lock_changes_nothing(tmp_path: Path) -> None:
    def fit_with_curves() -> None:
        board = TensorBoard(tmp_path / "logs", overwrite=True)
        fit(tmp_path / "run", 8, more=[board])

    fit(tmp_path / "run", 4, more=[TensorBoard(tmp_path / "logs")])
    (tmp_path / "run" / "results.json").unlink()
    hold = (
        "import pathlib, sys\n"
        "from keras_port.checkpoints import DirectoryLock\n"
        "lock = DirectoryLock(pathlib.Path(sys.argv[1]))\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / "run" / "state"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*/*")}
        with pytest.raises(OSError, match="in use by another training"):
            fit_with_curves()
        changed = {
            path.relative_to(tmp_path)
            for path in tmp_path.rglob("*/*")
            if files.get(path) != path.stat().st_mtime_ns
        }
        # A file was made and removed, to know that there is room.
        assert changed <= {Path("run"), Path("run/state"), Path("logs")}
        assert other.stdin is not None
        other.stdin.close()
    fit_with_curves()


def test_a_run_that_stopped_early_is_not_made_longer(tmp_path: Path) -> None:
    _, results = fit(tmp_path, 200, patience=1)
    assert results.ended_by == "early stopping"
    assert fit(tmp_path, 400, patience=1)[1] == results


def test_the_data_must_be_a_function_of_the_batch(tmp_path: Path) -> None:
    run = Run(tmp_path, settings={}, max_steps=4)
    with pytest.raises(ValueError, match="must be a function of the number"):
        run.fit(small_model(), small_batches())  # type: ignore[arg-type]


def test_a_second_training_state_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, settings={}, max_steps=4)
    with pytest.raises(ValueError, match="adds a `TrainingState` itself"):
        run.fit(
            small_model(),
            lambda start: small_batches(start_batch=start),
            callbacks=[TrainingState(tmp_path / "mine")],
        )


def test_a_trained_model_is_refused(tmp_path: Path) -> None:
    model = small_model()
    model.fit(small_batches(), steps_per_epoch=1, verbose=0)
    run = Run(tmp_path, settings={}, max_steps=4)
    with pytest.raises(ValueError, match="has been trained for 1 steps"):
        run.fit(model, lambda start: small_batches(start_batch=start))


def test_results_need_a_training(tmp_path: Path) -> None:
    run = Run(tmp_path, settings={}, max_steps=4)
    with pytest.raises(ValueError, match="Call `fit` first"):
        run.finish(
            small_model(), validation=small_arrays(), test=small_arrays()
        )


@pytest.mark.parametrize("name", ["model.keras", "results.json", "state"])
def test_files_of_no_run_are_not_written_over(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("not ours")
    with pytest.raises(ValueError, match=f"holds {name}, but no run.json"):
        Run(tmp_path, settings={"script": "a"}, max_steps=4)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_other_settings_are_another_run(tmp_path: Path) -> None:
    settings = {"script": "a", "data": Path("there"), "rate": np.float32(0.5)}
    for _ in range(2):
        run = Run(tmp_path, settings=settings, max_steps=4)
        assert run.results is None
        run.fit(small_model(), lambda _: small_batches())
    with pytest.raises(ValueError, match="script a there, b here") as error:
        Run(tmp_path, settings=settings | {"script": "b"}, max_steps=4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["run.json", "results.json"])
def test_a_broken_file_of_a_run_is_named(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path, settings={}, max_steps=4)
    run.fit(small_model(), lambda _: small_batches())
    (tmp_path / name).write_text("{")
    with pytest.raises(ValueError, match=f"{name} is broken"):
        Run(tmp_path, settings={}, max_steps=4)


def test_two_processes_do_not_train_in_one_directory(tmp_path: Path) -> None:
    ended = []

    class StartAgain(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            ended.append(
                subprocess.run(
                    [sys.executable, "-c", KILLED, str(tmp_path)],
                    cwd=ROOT,
                    env=os.environ | {"PYTHONPATH": str(ROOT)},
                    capture_output=True,
                    text=True,
                    check=False,
                )
            )

    fit(tmp_path, 2, more=[StartAgain()])
    assert ended[0].returncode == 1
    assert "OSError" in ended[0].stderr
    assert str(tmp_path / "state") in ended[0].stderr


@pytest.mark.parametrize(
    ("steps", "eval_freq", "expected"),
    [(20_000, 100, 10), (50, 20, 10), (7, 100, 1), (4, 2, 2), (1, 1, 1)],
)
def test_no_call_passes_an_evaluation_or_the_end(
    steps: int, eval_freq: int, expected: int
) -> None:
    found = get_steps_per_execution(steps, eval_freq, limit=10)
    assert found == expected


@pytest.mark.fault("R19")
def test_a_signal_waits_for_the_test_of_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[Run.__module__]
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(module, "get_workers", lambda model: object())
    with module.delayed_signals(None):
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setattr(module, "get_workers", lambda model: None)
    with module.delayed_signals(None):
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.fault("R16")
def test_the_settings_of_all_workers_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: dict[str, Any] = {}
    monkeypatch.setattr(
        sys.modules[Run.__module__],
        "compare_workers",
        lambda name, values: compared.update(values),
    )
    Run(tmp_path, settings={"seed": 1}, max_steps=4, save_freq=2)
    assert compared == {"seed": 1, "max_steps": 4, "save_freq": 2}


def test_a_run_that_is_killed_before_its_first_snapshot_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) >= 3:
                raise RuntimeError("killed")

    def start(*more: keras.callbacks.Callback) -> Results:
        # A relative path and one from the root are the same directory.
        board = TensorBoard(Path("run", "logs"), update_freq=1)
        _, results = fit(tmp_path / "run", 8, more=[board, *more], save_freq=8)
        return results

    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="killed"):
        start(Kill())
    assert list((tmp_path / "run" / "logs").rglob("*tfevents*"))
    _, expected = fit(tmp_path / "plain", 8)
    assert without_times(start()) == without_times(expected)
    # Curves of something else are left alone.
    train_elsewhere = TensorBoard(tmp_path / "other", update_freq=1)
    fit(tmp_path / "a", 4, more=[train_elsewhere])
    with pytest.raises(ValueError, match="two runs would be mixed"):
        fit(tmp_path / "b", 4, more=[TensorBoard(tmp_path / "other")])


def test_a_callback_that_stops_the_training_does_not_finish_the_run(
    tmp_path: Path,
) -> None:
    _, results = fit(tmp_path, 8, more=[StopAt(4)])
    assert (results.steps, results.ended_by) == (4, "a callback")
    assert not results.finished
    _, results = fit(tmp_path, 8)
    assert (results.steps, results.ended_by) == (8, "max_steps")


SETTINGS = """
import sys
from keras_port.runs import Run
from tests.small import small_batches, small_model

settings = {
    "clip": float("nan"),
    "augment": {"flip", "shift", "noise", "turn"},
    "of_each": {"b": 1, "a": 2},
}
run = Run(sys.argv[1], settings=settings, max_steps=int(sys.argv[2]))
run.fit(small_model(), lambda start: small_batches(start_batch=start))
"""


def test_settings_are_equal_in_every_process(tmp_path: Path) -> None:
    for number in (1, 2):  # The order of a set depends on the hash seed.
        subprocess.run(
            [sys.executable, "-c", SETTINGS, tmp_path, str(2 * number)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            check=True,
        )
    with pytest.raises(ValueError, match=r"clip nan there, 0\.5 here"):
        Run(tmp_path, settings={"clip": 0.5}, max_steps=2)


def test_settings_that_no_other_process_can_compare_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="`settings` must hold plain values"):
        Run(tmp_path, settings={"optimizer": object()}, max_steps=2)
    Run(
        tmp_path,
        settings={"path": tmp_path, "rate": np.float32(0.5), "n": np.arange(2)},
        max_steps=2,
    )


def test_a_change_of_the_working_directory_changes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ChangeDirectory(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            os.chdir("../other")

    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    theirs = [tmp_path / "other" / f"m-{step}.keras" for step in (2, 4, 6)]
    for path in theirs:
        path.write_text("of another experiment")
    monkeypatch.chdir(tmp_path / "mine")
    more = [
        ChangeDirectory(),
        StepCheckpoint("m-{step}.keras", max_to_keep=1),
        TensorBoard("curves"),
    ]
    fit(Path("run"), 8, more=more)
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [
        path.name for path in theirs
    ]
    assert {path.read_text() for path in theirs} == {"of another experiment"}
    assert {"run", "curves"} < {p.name for p in (tmp_path / "mine").iterdir()}
    assert (tmp_path / "mine" / "run" / "results.json").exists()
