"""A training in a directory of its own, which resumes exactly."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import json
import math
import os
import signal
import threading
from types import FrameType
from typing import Any

from absl import logging
import keras
import numpy as np
import tensorflow as tf

from keras_port._support import absolute_path
from keras_port._support import check_integer
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.callbacks import TerminateOnSignal
from keras_port.callbacks import TrainingState
from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import remove_leftovers
from keras_port.runs._json_file import read_json
from keras_port.runs._json_file import write_first
from keras_port.runs._json_file import write_json
from keras_port.runs._run_clock import RunClock
from keras_port.runs.history_file import HistoryFile
from keras_port.runs.results import CALLBACK
from keras_port.runs.results import EARLY_STOPPING
from keras_port.runs.results import MAX_STEPS
from keras_port.runs.results import Results
from keras_port.runs.results import read_results
from keras_port.training import Evaluator
from keras_port.training import compare_workers
from keras_port.training import get_workers
from keras_port.training import is_chief
from keras_port.training import worker_errors

RUN_FILE = "run.json"
RESULTS_FILE = "results.json"
MODEL_FILE = "model.keras"
STATE_DIR = "state"
LOG_DIR = "logs"
HISTORY_FILE = "history.csv"


class Run:
    """Trains in a directory of its own, and resumes there to the same bits.

    A training that is killed and started again must continue with the next
    batch, run only the steps that are left, and restore every callback. `Run`
    does all of it, so that no part can be forgotten. Start the same program
    again after a kill, after Ctrl-C, or with more `max_steps`; it continues
    from the newest snapshot. The result is that of a run that was never
    interrupted, to the bit.

    The directory holds:

    - `run.json`: the settings of the run, written by `fit`. A program with
      other settings is rejected, and so are files that belong to no run.
    - `state/`: the snapshots to resume from (see `TrainingState`).
    - `results.json`: the `Results`, written by `finish`.
    - `history.csv`: the results of every `StepEvaluation`, with the loss of the
      training, one row for every step that was evaluated.
    - `model.keras` and `logs/`: `model_path` and `log_dir`, for
      `StepCheckpoint` and `TensorBoard`.

    On several machines every worker makes a `Run` with the same directory, on
    a disk that all of them share. The chief writes.

    Args:
        directory: Directory of the run. It is made if it does not exist.
        settings: What makes this run different from others, such as the seed
            and the learning rate, as plain values by name.
        max_steps: Steps at which the training ends. A later start may raise
            it.
        save_freq: Steps between snapshots. A later start may change it.
            Defaults to 1000.

    Attributes:
        directory: Directory of the run.
        max_steps: Steps at which the training ends.
        save_freq: Steps between snapshots.
        results: The `Results` if the run has nothing left to do, otherwise
            `None`.
        model_path: Path of the best model, for `StepCheckpoint`.
        state_dir: Directory of the snapshots.
        log_dir: Directory of the curves, for `TensorBoard`.

    Raises:
        ValueError: If the directory holds a run with other settings, files
            that belong to no run, or a broken JSON file, if a number is not a
            positive integer, or if a setting is not a plain value.
        OSError: If the directory cannot be written to.

    Example:

    >>> run = Run("runs/digits", settings={"seed": 1}, max_steps=4)
    >>> history = run.fit(
    ...     model,
    ...     lambda start_batch: shuffled_batches(
    ...         splits.train, 100, seed=1, start_batch=start_batch
    ...     ),
    ...     callbacks=[
    ...         StepEvaluation(splits.validation, eval_freq=2),
    ...         StepEarlyStopping(patience=20),
    ...         StepCheckpoint(run.model_path),
    ...     ],
    ... )
    >>> results = run.finish(
    ...     model, validation=splits.validation, test=splits.test
    ... )
    >>> results.steps, results.ended_by
    (4, 'max_steps')
    >>> Run("runs/digits", settings={"seed": 1}, max_steps=4).results == results
    True
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        settings: Mapping[str, Any],
        max_steps: int,
        save_freq: int = 1000,
    ) -> None:
        self.directory = absolute_path("directory", directory)
        self.max_steps = check_integer("max_steps", max_steps)
        self.save_freq = check_integer("save_freq", save_freq)
        self.model_path = self.directory / MODEL_FILE
        self.state_dir = self.directory / STATE_DIR
        self.log_dir = self.directory / LOG_DIR
        self._state: TrainingState | None = None
        self._fitted: _Fitted | None = None
        # As JSON gives them back, so that both sides compare equal.
        self._settings = json.loads(json.dumps(settings, default=make_plain))
        # All workers of a cluster reject other settings, before one of them
        # rejects the directory.
        compare_workers(
            "the settings of the run",
            {**self._settings, "max_steps": max_steps, "save_freq": save_freq},
        )
        with worker_errors():
            self._check_directory()
            self.results = self._read_results()

    @property
    def step(self) -> int:
        """Step that `fit` resumes from, 0 for a new run."""
        return self._open_state().step

    def fit(
        self,
        model: keras.Model,
        make_batches: Callable[[int], tf.data.Dataset],
        *,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        max_steps_per_execution: int = 10,
    ) -> keras.callbacks.History:
        """Trains to `max_steps`, from wherever the run was interrupted.

        Adds `TrainingState` and `TerminateOnSignal` to the callbacks. Every
        callback with the methods `get_state` and `set_state` is resumed, too.
        Sets `model.steps_per_execution` so that no evaluation, no snapshot and
        no step is missed.

        The `fit` of a finished run makes no step. It restores the end of the
        training: the history, and the best weights if there is a
        `StepEarlyStopping`.

        Args:
            model: A compiled model that has not been trained, made by the same
                code on every start.
            make_batches: Function that takes the number of batches to skip and
                returns an endless dataset, such as `lambda start_batch:
                shuffled_batches(split, 100, seed=1, start_batch=start_batch)`.
            callbacks: Callbacks for `model.fit`. Defaults to none.
            max_steps_per_execution: Steps in one call of the training function
                at most. Ctrl-C waits for them. Defaults to 10.

        Returns:
            The history of the whole run, from its first step on.

        Raises:
            ValueError: If the model has been trained, if `callbacks` holds
                one that this method adds, or if the snapshots are of another
                model.
            OSError: If another process trains in the directory, or if a file
                cannot be written.
        """
        self._check_fit(model, make_batches, callbacks)
        if any(isinstance(one, StepEvaluation) for one in callbacks):
            history = HistoryFile(self.directory / HISTORY_FILE)
            callbacks = [*callbacks, history]
        self._claim_curves(callbacks)
        state = self._open_state()
        state.stateful_callbacks = tuple(
            callback
            for callback in callbacks
            if hasattr(callback, "get_state") and hasattr(callback, "set_state")
        )
        batches = make_batches(state.batches_seen)
        self._claim_directory()
        steps = max(1, self.max_steps - state.step)
        model.steps_per_execution = get_steps_per_execution(
            steps,
            self.save_freq,
            *(c.eval_freq for c in callbacks if isinstance(c, StepEvaluation)),
            limit=max_steps_per_execution,
        )
        terminate = TerminateOnSignal()
        clock = RunClock(get_batch_size(batches))
        state.clock = clock
        # The state after the callbacks, so that the last snapshot holds what
        # they do at the end of the epoch.
        model.fit(
            batches,
            steps_per_epoch=steps,
            callbacks=[clock, *callbacks, terminate, state],
            verbose=0,
        )
        self._state = None  # It knows the snapshot that `fit` started from.
        stopping = find_early_stopping(callbacks)
        step = int(model.optimizer.iterations.numpy())
        ended_by = MAX_STEPS
        if has_stopped(stopping):
            ended_by = EARLY_STOPPING
        elif model.stop_training and step < self.max_steps:
            ended_by = terminate.received or CALLBACK
        self._fitted = _Fitted(
            best_step=(stopping and stopping.best_step) or 0,
            seconds=clock.seconds,
            examples_per_second=clock.examples_per_second,
            ended_by=ended_by,
        )
        return model.history

    def finish(
        self,
        model: keras.Model,
        *,
        validation: Any,
        test: Any,
        dataset: str = "",
    ) -> Results:
        """Tests the trained model and writes `results.json`.

        For a finished run it returns the `results` that are there. On several
        machines all workers test, each a part of the data, and a signal to end
        waits until the results are written; a second one ends at once.

        Args:
            model: The model that `fit` has trained, with the metric
                `"accuracy"`.
            validation: Validation data, as for `Evaluator`. It is evaluated
                only if no `StepEvaluation` has done so with these weights.
            test: Test data, as for `Evaluator`.
            dataset: Where the data came from, for the results. Defaults to
                `""`.

        Returns:
            The results.

        Raises:
            ValueError: If `fit` has not been called, or if the model has no
                metric `"accuracy"`.
        """
        fitted = self._fitted
        if fitted is None:
            raise ValueError(
                "`finish` writes the results of a training. Call `fit` first."
            )
        if self.results is not None:
            return self.results
        with worker_errors(), delayed_signals(model):
            return self._finish(model, fitted, validation, test, dataset)

    def _finish(
        self,
        model: keras.Model,
        fitted: "_Fitted",
        validation: Any,
        test: Any,
        dataset: str,
    ) -> Results:
        accuracy = find_accuracy(model.history, fitted.best_step)
        if accuracy is None:
            accuracy = evaluate_accuracy(model, validation)
        results = Results(
            steps=int(model.optimizer.iterations.numpy()),
            best_step=fitted.best_step,
            validation_accuracy=accuracy,
            test_accuracy=evaluate_accuracy(model, test),
            seconds=round(fitted.seconds, 3),
            examples_per_second=round(fitted.examples_per_second, 1),
            dataset=dataset,
            ended_by=fitted.ended_by,
        )
        if is_chief(model):
            # Of a process that was killed while it wrote pictures. The next
            # one may have had no step left, and so opened no curves.
            for entry in self.log_dir.glob("*"):
                if entry.is_dir():
                    remove_leftovers(entry, bool)
            path = self.directory / RESULTS_FILE
            write_json(path, dataclasses.asdict(results))
        self.results = results if results.finished else None
        return results

    def _check_directory(self) -> None:
        """Checks that the directory holds this run or nothing."""
        make_writable_directory(self.directory)
        path = self.directory / RUN_FILE
        if path.exists():
            self._check_settings(read_json(path))
            # Of a process that was killed after its file was complete; the
            # file is not written again.
            names = (RUN_FILE, RESULTS_FILE, HISTORY_FILE, MODEL_FILE)
            remove_leftovers(self.directory, names.__contains__)
        else:
            self._check_no_other_files()

    def _claim_directory(self) -> None:
        """Writes `run.json`, if there is none.

        Not before the training is known to be possible: a batch size that the
        data rejects would otherwise be the settings of this directory.
        """
        path = self.directory / RUN_FILE
        if not path.exists():
            write_first(path, self._settings)
        # Also after writing: of two starts at once, one was the first.
        self._check_settings(read_json(path))

    def _claim_curves(
        self, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        """Lets `TensorBoard` write over the curves in this directory.

        They belong to this run. A process that was killed before its first
        snapshot has left some, and the next one starts at step 0.
        """
        directory = self.directory.resolve()
        for callback in callbacks:
            if isinstance(callback, TensorBoard):
                log_dir = callback.log_dir.resolve()
                callback.overwrite |= log_dir.is_relative_to(directory)

    def _check_settings(self, found: dict[str, Any]) -> None:
        wanted = self._settings
        differing = [
            f"{name} {found.get(name)} there, {wanted.get(name)} here"
            for name in sorted({*found, *wanted})
            if to_text(found.get(name)) != to_text(wanted.get(name))
        ]
        if differing:
            raise ValueError(
                f"{self.directory} holds another run ({'; '.join(differing)}). "
                "Choose another directory, or use the settings of that run to "
                "resume it."
            )

    def _check_no_other_files(self) -> None:
        names = [
            name
            for name in (MODEL_FILE, RESULTS_FILE, STATE_DIR, LOG_DIR)
            if (self.directory / name).exists()
        ]
        if names:
            raise ValueError(
                f"{self.directory} holds {', '.join(names)}, but no {RUN_FILE} "
                "that says which run they belong to. Choose another directory, "
                "or move them."
            )

    def _read_results(self) -> Results | None:
        path = self.directory / RESULTS_FILE
        if not path.exists():
            return None
        results = read_results(path)
        return results if results.is_final(self.max_steps) else None

    def _open_state(self) -> TrainingState:
        # Late, since it reads the newest snapshot.
        if self._state is None:
            self._state = TrainingState(
                self.state_dir,
                save_freq=self.save_freq,
                total_steps=self.max_steps,
            )
        return self._state

    def _check_fit(
        self,
        model: keras.Model,
        make_batches: Any,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Raises `ValueError` for arguments that would not resume exactly."""
        if not callable(make_batches):
            raise ValueError(
                "`make_batches` must be a function of the number of batches "
                "to skip, such as `lambda start_batch: shuffled_batches(split, "
                "100, seed=1, start_batch=start_batch)`. "
                f"Received: make_batches={make_batches}"
            )
        for callback in callbacks:
            if isinstance(callback, (TrainingState, TerminateOnSignal)):
                raise ValueError(
                    f"`fit` adds a `{type(callback).__name__}` itself. Leave "
                    "it out of `callbacks`."
                )
        trained = int(model.optimizer.iterations.numpy())
        if trained:
            raise ValueError(
                f"`model` has been trained for {trained:,} steps, and the run "
                f"starts at its own step, {self.step:,}. Build and compile a "
                "new model; `fit` restores its weights."
            )


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """What `finish` must know of the last call of `fit`."""

    best_step: int
    seconds: float
    examples_per_second: float
    ended_by: str


@contextlib.contextmanager
def delayed_signals(model: keras.Model) -> Iterator[None]:
    """Lets the workers of a cluster end the block before a signal ends them.

    One that ended at once would be missing in the evaluation of the others.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or get_workers(model) is None:
        yield
        return
    received: list[int] = []

    def delay(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        logging.warning(
            "%s: ending after the test. The same signal again ends at once.",
            signal.Signals(number).name,
        )

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, delay) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(
                number, signal.SIG_DFL if handler is None else handler
            )


def make_plain(value: Any) -> Any:
    """Returns a setting that JSON does not know as values that it knows.

    Raises:
        ValueError: If the setting may look different in the next process.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise ValueError(
        "`settings` must hold plain values, so that the next start can compare "
        f"them. Received: {value!r} of type {type(value).__name__}"
    )


def to_text(setting: Any) -> str:
    """Returns a setting as JSON, where even NaN is equal to itself."""
    return json.dumps(setting, sort_keys=True)


def find_early_stopping(
    callbacks: Sequence[keras.callbacks.Callback],
) -> StepEarlyStopping | None:
    """Returns the callback that chooses the best weights, if there is one."""
    found = (c for c in callbacks if isinstance(c, StepEarlyStopping))
    return next(found, None)


def has_stopped(stopping: StepEarlyStopping | None) -> bool:
    """Returns whether early stopping has ended the training."""
    return stopping is not None and stopping.stopped_step is not None


def get_steps_per_execution(*distances: int, limit: int) -> int:
    """Returns how many steps one call can run without missing anything.

    Keras always runs whole calls: with 20 steps per call, 50 steps become 60.
    So the result divides every distance.

    Args:
        *distances: Steps to run, and steps between two events.
        limit: The largest result.
    """
    common = math.gcd(*distances)
    return max(n for n in range(1, limit + 1) if common % n == 0)


def get_batch_size(batches: tf.data.Dataset) -> int:
    """Returns the examples in every batch, 0 if it is not fixed."""
    first, *_ = tf.nest.flatten(batches.element_spec)
    return int(first.shape[0] or 0) if first.shape.rank else 0


def find_accuracy(history: keras.callbacks.History, step: int) -> float | None:
    """Returns the validation accuracy of a step, if it was evaluated."""
    values = history.history
    if step not in values.get("val_step", ()) or "val_accuracy" not in values:
        return None
    return float(values["val_accuracy"][values["val_step"].index(step)])


def evaluate_accuracy(model: keras.Model, data: Any) -> float:
    """Returns the share of the examples that the model classifies correctly."""
    results = Evaluator(model, data).evaluate()
    if "accuracy" not in results:
        raise ValueError(
            "`finish` needs the metric `accuracy`. Compile the model with "
            f'`metrics=["accuracy"]`. Received: metrics {sorted(results)}'
        )
    return results["accuracy"]
