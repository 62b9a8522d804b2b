"""Snapshots from which a training continues after any interruption."""

from collections.abc import Sequence
import os
import pathlib
import sys
from typing import Any
from typing import NamedTuple
from typing import Protocol
import weakref

from absl import logging
import keras

from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port._support import local_path
from keras_port.callbacks import _model_state
from keras_port.callbacks._callback_states import CallbackStates
from keras_port.callbacks._callback_states import check_participant
from keras_port.callbacks._position import Position
from keras_port.callbacks._position import Progress
from keras_port.callbacks._position import count_batches
from keras_port.callbacks._position import find_batch_size
from keras_port.callbacks._snapshot_content import VERSION
from keras_port.callbacks._snapshots import NAME
from keras_port.callbacks._snapshots import SnapshotDirectory
from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import check_optimizer
from keras_port.callbacks._steps import get_step
from keras_port.callbacks._stock_state import STOCK_CALLBACKS
from keras_port.callbacks._train_function import unwrap_train_function
from keras_port.callbacks._train_function import wrap_train_function
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.checkpoints import BackgroundWriter
from keras_port.checkpoints import DirectoryLock
from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import remove_leftovers
from keras_port.training import TrainingIsOverError
from keras_port.training import build_metrics
from keras_port.training import drop_batches
from keras_port.training import get_links
from keras_port.training import get_workers
from keras_port.training import is_chief
from keras_port.training import list_callbacks


class Clock(Protocol):
    """Measures times, which are no part of what a training computes."""

    def get_notes(self) -> dict[str, float]:
        """Returns the times so far."""
        ...

    def set_notes(self, notes: dict[str, float]) -> None:
        """Adds the times of the earlier starts."""
        ...


class Stop(NamedTuple):
    """A `fit` that a signal has ended.

    Args:
        directory: Directory of its snapshots.
        signal: Name of the signal.
        step: Step at which it ended.
    """

    directory: pathlib.Path
    signal: str
    step: int


# Models whose `fit` has begun and not ended in order.
INTERRUPTED: "weakref.WeakSet[keras.Model]" = weakref.WeakSet()
# Models whose `fit` has ended in order, but because of a signal.
STOPPED: "weakref.WeakKeyDictionary[keras.Model, Stop]" = (
    weakref.WeakKeyDictionary()
)


class TrainingState(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets the next start of a training continue where this one stopped.

    A snapshot holds the weights, the optimizer with its slots and iterations,
    gradients that are still accumulated, random states, running metrics, the
    history, and the states of the callbacks in the same `fit`. A resumed
    training ends with the weights of one that was never interrupted, to the
    bit, if its data comes in the same order. Start the same program again:
    the steps that are done are skipped, and so are the batches. A training
    that is finished ends at once.

    Reading the batches that are done, only to skip them, takes time. Data that
    can start anywhere, such as `shuffled_batches`, is told where, and the
    program leaves out what is done, as in the example below:

    - `start_batch=state.batches_seen` skips the batches that were read;
    - `steps_per_epoch=total_steps - state.step` leaves out the steps that were
      made.

    A training of several epochs continues in the epoch in which it was
    interrupted. A `GradientModel` starts there by itself; for another model,
    pass `fit(..., initial_epoch=state.epoch)`. Keras' `EarlyStopping`,
    `ReduceLROnPlateau` and `ModelCheckpoint` are resumed with a
    `GradientModel`; with another model, list them in `stateful_callbacks`, and
    this callback last in `callbacks`.

    A program may call `fit` several times with one directory, and compile the
    model again in between. Every `fit` has its own `TrainingState`, and its end
    is kept: started again, the program gets the end of every `fit` that is
    finished, and continues the one that was interrupted. Another model needs
    another directory.

    The training waits only until these values are copied; the file is written
    in the background. One training at a time can use the directory. On several
    machines the first one writes the snapshots, and all must be able to read
    them.

    Any callback can take part. It needs the methods `get_state()`, which
    returns dictionaries and lists of plain values and arrays, and
    `set_state(state)`, and either is an `EvaluationListener` or is listed in
    `stateful_callbacks`. `set_state` is called before the first step, after
    `on_train_begin` of every callback.

    Args:
        directory: Directory of the snapshots, created if it does not exist.
        save_freq: Steps between snapshots. One more is written when the
            training ends. Defaults to 100.
        max_to_keep: Number of newest snapshots of the current `fit` to keep; an
            older one is used if the newest is broken. Defaults to 2.
        total_steps: Step at which the whole training ends. A snapshot of this
            step or a later one is the end of a finished training, however many
            steps `fit` is asked for. Defaults to `None`: `fit` alone decides.
        stateful_callbacks: Callbacks whose state is saved although they are
            not an `EvaluationListener`. Defaults to none.

    Attributes:
        step: Step of the newest complete snapshot, 0 without one. Known before
            `fit`.
        batches_seen: Batches that had been read by then, which `fit` must not
            read again. Equals `step` unless gradients are accumulated or
            updates were skipped.
        epoch: Number of epochs that had ended by then.

    Raises:
        ValueError: If `save_freq` or `max_to_keep` is not a positive integer;
            and, before the first step, if the snapshot is from another model,
            configuration, batch size or list of callbacks, if the model has no
            weights or no optimizer, or if it is ahead of the snapshot.
        TypeError: If the state of a callback holds what a snapshot cannot.
        OSError: Before the first step, if the directory cannot be written to
            or another training uses it; later, if a snapshot cannot be
            written.

    Example:

    >>> state = TrainingState("state", save_freq=2)
    >>> batches = shuffled_batches(
    ...     splits.train, 8, seed=1, start_batch=state.batches_seen
    ... )
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4 - state.step,
    ...     callbacks=[state],
    ...     verbose=0,
    ... )
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        save_freq: int = 100,
        max_to_keep: int = 2,
        total_steps: int | None = None,
        stateful_callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        for callback in stateful_callbacks:
            check_participant(callback)
        self.directory = local_path("directory", directory)
        self.save_freq = check_integer("save_freq", save_freq)
        self.max_to_keep = check_integer("max_to_keep", max_to_keep)
        self.total_steps = total_steps
        if total_steps is not None:
            self.total_steps = check_integer("total_steps", total_steps)
        self.stateful_callbacks = tuple(stateful_callbacks)
        # Measures the times of the training; of `Run`.
        self.clock: Clock | None = None
        self._writer = BackgroundWriter()
        self._lock: DirectoryLock | None = None
        self._configuration: dict[str, Any] = {}
        self._learning_rates: list[list[float]] = []
        self._known_rates: list[list[float]] = []
        self._rates: list[float] = []
        self._every = Every(self.save_freq)
        self._names_read: set[str] = set()
        self._stock_callbacks: tuple[keras.callbacks.Callback, ...] = ()
        # Of the data, as far as it is known before the first batch.
        self._batch_size: int | None = None
        self._batches_in_data: int | None = None
        self._goes_on_over_epochs = False
        self._asked_for_nothing = False
        self._is_prepared = False
        self._is_in_fit = False
        self._first_batch = 0
        self._snapshots = SnapshotDirectory(self.directory, self.max_to_keep)
        self._fit = self._snapshots.count_ended()
        self._newest = self._snapshots.read_newest(self._fit)
        self._to_restore: dict[str, Any] | None = None
        self._restored_epochs: list[int] = []
        self._restored_history: dict[str, list[Any]] = {}
        self._metrics: list[dict[str, Any]] = []
        self._counts_in_function = False
        self._start_fit(Progress())

    def __repr__(self) -> str:
        return format_call(self, "directory", "save_freq")

    def _start_fit(self, progress: Progress) -> None:
        self._progress = progress
        self._batches_to_drop = 0
        self._calls_to_skip = 0
        self._is_over = False

    @property
    def step(self) -> int:
        """Step of the newest complete snapshot, 0 without one."""
        self._note_reading("step")
        return self._get_newest("step")

    @property
    def batches_seen(self) -> int:
        """Batches that had been read by then."""
        self._note_reading("batches_seen")
        return self._get_newest("batches")

    @property
    def epoch(self) -> int:
        """Number of epochs that had ended by then."""
        self._update_newest(self._snapshots.count_ended())
        return self._get_position().epoch

    def _note_reading(self, name: str) -> None:
        """Notes that the program has started its data where this says."""
        self._update_newest(self._snapshots.count_ended())
        self._names_read.add(name)

    def _update_newest(self, fit: int) -> None:
        """Reads the snapshots again if another `fit` has ended since."""
        if fit != self._fit and not self._is_in_fit:
            self._fit = fit
            self._newest = self._snapshots.read_newest(fit)

    def prepare_fit(
        self, model: keras.Model, arguments: dict[str, Any]
    ) -> None:
        """Called by `GradientModel.fit` with its arguments.

        Args:
            model: The model.
            arguments: Arguments of `fit`, changed in place: the epoch to start
                in, and the order of the callbacks.

        Raises:
            ValueError: If another callback restores the model as well.
        """
        others = [c for c in list_callbacks(arguments) if c is not self]
        if any(isinstance(c, keras.callbacks.BackupAndRestore) for c in others):
            raise ValueError(
                "`TrainingState` and `BackupAndRestore` both restore the "
                "model. Leave one of them out."
            )
        self._stock_callbacks = tuple(
            c for c in others if isinstance(c, STOCK_CALLBACKS)
        )
        # After the others, so that a snapshot at the end of an epoch holds
        # what they have done there.
        if not isinstance(
            arguments.get("callbacks"), keras.callbacks.CallbackList
        ):
            arguments["callbacks"] = [*others, self]
        self._is_prepared = True
        self._batch_size = find_batch_size(arguments)
        self._batches_in_data = count_batches(arguments)
        steps = arguments.get("steps_per_epoch")
        self._goes_on_over_epochs = steps is not None
        self._asked_for_nothing = steps is not None and steps <= 0
        self._update_newest(self._snapshots.find_fit(model))
        links = get_links()
        if links is not None:
            # Before the arguments of `fit`, which depend on it, are compared.
            step = self._get_newest("step")
            self._check_steps_of_workers(links.gather("the snapshots", step))
        if self._is_own() and not arguments.get("initial_epoch"):
            last = max(arguments.get("epochs", 1) - 1, 0)
            arguments["initial_epoch"] = min(self._get_position().epoch, last)

    def set_model(self, model: keras.Model) -> None:
        """Locks the directory before any callback writes to it.

        Keras calls `set_model` of all callbacks before `on_train_begin` of the
        first one.
        """
        super().set_model(model)
        if is_chief(model):
            self._lock_directory()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the directory before the first step."""
        check_optimizer(self.model, type(self).__name__)
        self._check_workers()
        self._configuration = _model_state.get_configuration(self.model)
        self._writer.wait()  # Of a `fit` that was interrupted.
        known = self._get_id()
        self._fit = self._snapshots.find_fit(self.model)
        self._newest = self._snapshots.read_newest(self._fit)
        self._first_batch = self._get_newest("batches")
        self._start_fit(Progress(self._first_batch))
        self._to_restore = self._choose_snapshot()
        if self._to_restore and self._names_read and self._get_id() != known:
            raise ValueError(
                f"{self.directory} has a snapshot of step "
                f"{self._get_newest('step')}, which was written after this "
                f"`TrainingState` was created at step {known[1]}, where the "
                "data starts. Create the `TrainingState` and the data again."
            )
        self._check_steps()
        if self._to_restore:
            self._check_position()
        self._note_learning_rates()
        self._newest = drop_values(self._newest)
        self._is_in_fit = True
        function = wrap_train_function(self.model)
        self._counts_in_function = function is not None
        if function is not None:
            function.before.append(self._skip)
            function.after.append(self._count)

    def _choose_snapshot(self) -> dict[str, Any] | None:
        """Returns the snapshot to restore, `None` to leave the model as it is.

        Raises:
            ValueError: If the model is at a step at which the data would not
                start.
        """
        newest, here = self._get_newest("step"), get_step(self.model)
        self._check_last_fit(here)
        was_interrupted = self.model in INTERRUPTED
        if not self._is_own():
            # A `fit` may begin with a new optimizer.
            is_placed = bool(self._names_read) and self._newest is not None
            if (was_interrupted or is_placed) and here not in (0, newest):
                self._refuse_to_go_back(here)
            return None
        if was_interrupted:
            return self._newest
        if here > newest:
            self._refuse_to_go_back(here)
        # A model that a signal has stopped is left as it is: what the program
        # has changed in it since then is meant.
        if here == newest and self.model in STOPPED:
            return None
        return self._newest

    def _check_last_fit(self, here: int) -> None:
        """Raises `ValueError` in the next `fit` of a program to be ended.

        It would start from a model that is trained in part.
        """
        stop = STOPPED.get(self.model)
        if stop is None or hasattr(sys, "ps1"):  # In a notebook, all is meant.
            return
        if stop.directory != self.directory or here < stop.step:
            raise ValueError(
                f"The `fit` before this one was stopped by {stop.signal} "
                f"before its end, at step {stop.step}. End the program after "
                "a `fit` whose `TerminateOnSignal.received` is not `None`, and "
                "start it again to continue."
            )

    def _is_own(self) -> bool:
        """Tells whether the newest snapshot is of the `fit` that starts."""
        return self._newest is not None and self._newest["fit"] == self._fit

    def _get_id(self) -> tuple[int, int]:
        """Returns what tells the newest snapshot from others."""
        return self._get_newest("fit"), self._get_newest("step")

    def _check_steps(self) -> None:
        """Raises an error if Keras would train without an end.

        Keras takes 0 steps and a negative number for "not given", which
        `GradientModel.fit` does not.
        """
        steps = self.params.get("steps")
        is_known = steps is not None and steps > 0
        if is_known or self._is_prepared or self._newest is None:
            return
        raise ValueError(
            f"`fit` does not know its number of steps: `steps_per_epoch` is "
            f"0, negative or missing. {self.directory} has a snapshot of step "
            f"{self._get_newest('step')}. If the training ends there, it is "
            "finished; otherwise pass `steps_per_epoch`."
        )

    def _refuse_to_go_back(self, here: int) -> None:
        """Raises `ValueError`: the data would not start where the model is."""
        newest = self._get_newest("step")
        found = f"a snapshot of step {newest}" if newest else "no snapshot"
        raise ValueError(
            f"The model has made {here} steps, and {self.directory} has "
            f"{found}, so the data would not start where the model is. Build "
            "and compile the model again to continue from the snapshot, or "
            "choose another directory."
        )

    def _lock_directory(self) -> None:
        make_writable_directory(self.directory)
        if self._lock is not None:  # An earlier `fit` raised an exception.
            self._lock.release()
        self._lock = DirectoryLock(self.directory)
        remove_leftovers(self.directory, NAME.fullmatch)

    def _check_workers(self) -> None:
        """Raises an error unless all machines restore the same snapshot."""
        workers = get_workers(self.model)
        if workers is None:
            return
        own = self._get_newest("step")
        self._check_steps_of_workers([int(x) for x in workers.gather(own)])

    def _check_steps_of_workers(self, steps: list[int]) -> None:
        if len(set(steps)) > 1:
            raise ValueError(
                f"The workers would continue from different steps, {steps}. "
                "`directory` must be a directory that all of them can read. "
                f"Received: directory={str(self.directory)!r}"
            )

    def _check_position(self) -> None:
        """Raises an error if the data may start at the wrong batch."""
        step, batches = self._get_newest("step"), self._get_newest("batches")
        if step == batches or self._names_read != {"step"}:
            return
        raise ValueError(
            f"{self.directory} holds a snapshot of step {step}, after "
            f"{batches} batches, but the program has read `step` of this "
            "`TrainingState` and not `batches_seen`. If the data starts at "
            "batch `step`, it is at the wrong one. Use\n"
            "    shuffled_batches(..., start_batch=state.batches_seen)\n"
            "    model.fit(..., steps_per_epoch=total_batches - "
            "state.batches_seen)"
        )

    def _note_learning_rates(self) -> None:
        """Notes with which rates the fits of this training start."""
        self._rates = _model_state.get_learning_rates(self.model)
        known = self._newest["learning_rates"] if self._newest else []
        self._known_rates = known
        if self._rates not in known:
            known = [*known, self._rates]
        self._learning_rates = known

    def _compare_learning_rates(self) -> list[str]:
        """Returns as text if the program was changed to another rate.

        The rate of the snapshot may differ from that of the program: a
        callback or a second `fit` has changed it.
        """
        if self._rates in self._known_rates:
            return []
        there, here = (
            ", ".join(f"{rate:g}" for rate in rates)
            for rates in (self._known_rates[0], self._rates)
        )
        return [f"learning_rate {there} there, {here} here"]

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Restores the snapshot, after `on_train_begin` of every callback."""
        if self._to_restore is not None:
            snapshot, self._to_restore = self._to_restore, None
            self._restore(snapshot, epoch)
        else:
            self._progress.start_epoch(epoch)
        self._every.restart(get_step(self.model))

    def _skip(self, iterator: Any) -> dict[str, Any] | None:
        """Returns logs in place of a step that is done, or `None`."""
        if self._is_over:
            # Keras asks the metrics for their values, also after no step.
            spec = getattr(iterator, "element_spec", None)
            build_metrics(self.model, spec)
            self.model.stop_training = True
            return {}
        self._restore_metrics(iterator)
        if self._batches_to_drop:
            drop_batches(self.model, iterator, self._batches_to_drop)
            self._batches_to_drop = 0
        if self._calls_to_skip:
            self._calls_to_skip -= 1
            return {}
        self._progress.note_batch_size(iterator)
        return None

    def _restore_metrics(self, iterator: Any) -> None:
        """Restores the running metrics, which Keras creates in a step."""
        records, self._metrics = self._metrics, []
        if records:
            build_metrics(self.model, getattr(iterator, "element_spec", None))
            _model_state.set_metrics(self.model, records)

    def _count(self, logs: dict[str, Any]) -> dict[str, Any]:
        self._progress.count_call(
            self.model.steps_per_execution, self.params.get("steps")
        )
        return logs

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes a snapshot if a multiple of `save_freq` has been passed."""
        INTERRUPTED.add(self.model)
        # Not at the end of the batch: then the callbacks that come later in
        # the list have not seen the step yet.
        if self._every.is_due(get_step(self.model)):
            self.save()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Counts the batch, in a loop of one's own."""
        if not self._counts_in_function:
            self._progress.count_call(1, None)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes the last snapshot, before the best weights are restored."""
        if self._is_over:
            return
        if self.model.stop_training:
            # The epoch is incomplete as far as this callback can know.
            self._take(None, dict(logs or {}))
        else:
            self._progress.end_epoch()
            self._take((epoch, dict(logs or {})))
        self._writer.wait()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Releases the lock of the directory."""
        INTERRUPTED.discard(self.model)
        unwrap_train_function(self.model)
        self._names_read.clear()
        self._is_prepared = self._is_in_fit = False
        signal = get_channel(self.model).signal
        if signal is None:
            STOPPED.pop(self.model, None)
            self._snapshots.note_end(self.model, self._fit)
        else:  # The program starts the same `fit` again.
            STOPPED[self.model] = Stop(
                self.directory, signal, get_step(self.model)
            )
        if self._is_over:
            # Keras has added an epoch, of no step.
            self.model.history.epoch[:] = self._restored_epochs
            self.model.history.history.clear()
            self.model.history.history.update(self._restored_history)
            for source in get_channel(self.model).sources:
                source.write_history()
        self._writer.wait()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def save(self) -> None:
        """Takes a snapshot now; it is written while the training continues.

        Raises:
            OSError: If the previous snapshot could not be written.
        """
        self._take(None)

    def _take(
        self,
        ended_epoch: tuple[int, dict[str, Any]] | None,
        last_logs: dict[str, Any] | None = None,
    ) -> None:
        step = get_step(self.model)
        self._every.restart(step)
        content = {
            "version": VERSION,
            "fit": self._fit,
            "step": step,
            "batches": self._progress.batches,
            # Of these, what was read before this `fit`.
            "first_batch": self._first_batch,
            "position": self._progress.get_position(
                self._batch_size, self.params.get("steps")
            ).get_state(),
            "configuration": self._configuration,
            "learning_rates": self._learning_rates,
            "model": _model_state.get_state(
                self.model, ended_epoch=ended_epoch
            ),
            # For the history of a training that ends within an epoch.
            "last_logs": last_logs or {},
            "callbacks": self._get_callback_states().get_states(),
        }
        self._newest = drop_values(content)
        if is_chief(self.model):
            notes = self.clock.get_notes() if self.clock else {}
            self._writer.submit(lambda: self._snapshots.write(content, notes))

    def _restore(self, snapshot: dict[str, Any], epoch: int) -> None:
        differences = _model_state.compare_configurations(
            snapshot["configuration"], self._configuration
        )
        if not any(line.startswith("optimizer") for line in differences):
            differences += self._compare_learning_rates()
        callback_states = self._get_callback_states()
        differences += callback_states.compare(snapshot["callbacks"])
        if differences:
            raise ValueError(
                f"The snapshots in {self.directory} were made with a different "
                f"configuration: {'; '.join(differences)}. Choose another "
                "directory, or compile the model with the same arguments and "
                "use the same callbacks."
            )
        self._continue_from(snapshot, epoch)
        self._restored_epochs = list(snapshot["model"]["epochs"])
        self._metrics = snapshot["model"]["metrics"]
        try:
            _model_state.set_state(self.model, snapshot["model"])
        except ValueError as error:
            raise ValueError(
                f"The snapshots in {self.directory} were made with a different "
                f"model or optimizer: {error}. Choose another directory, or "
                "build the same model."
            ) from error
        callback_states.set_states(
            snapshot["callbacks"],
            snapshot["path"],
            skipped=self._calls_to_skip * self.model.steps_per_execution,
        )
        self._is_over |= callback_states.has_stopped
        if self.clock is not None:
            self.clock.set_notes(snapshot["notes"])
        if self._is_over and snapshot["last_logs"]:
            self._restored_epochs.append(epoch)
            history = self.model.history.history
            for name, value in snapshot["last_logs"].items():
                history.setdefault(name, []).append(value)
        self._restored_history = {
            name: list(values)
            for name, values in self.model.history.history.items()
        }
        self._report(snapshot)

    def _continue_from(self, snapshot: dict[str, Any], epoch: int) -> None:
        """Decides what this `fit` skips."""
        steps, epochs = self.params.get("steps"), self.params.get("epochs", 1)
        position = self._get_position().as_unfinished(epochs)
        try:
            position.check_batch_size(self._batch_size)
            if epochs == 1 and position.is_left_out(steps, self._names_read):
                skipped: int | None = 0
            else:
                skipped = position.count_batches_to_skip(epoch, steps, epochs)
        except ValueError as error:
            raise ValueError(
                f"The snapshot of step {snapshot['step']} in {self.directory} "
                f"does not fit this `fit`: {error}, or choose another "
                "directory."
            ) from error
        done = position.batch if epoch == position.epoch else 0
        self._first_batch = snapshot["first_batch"]
        self._start_fit(Progress(snapshot["batches"], epoch, done, skipped))
        self._is_over = (
            skipped is None
            or self._asked_for_nothing
            or self._snapshots.has_later(self._fit)
        )
        if self.total_steps is not None:
            self._is_over |= snapshot["step"] >= self.total_steps
        if skipped:
            per_call = self.model.steps_per_execution
            self._calls_to_skip, rest = divmod(skipped, per_call)
            if rest:
                raise ValueError(
                    f"The snapshot in {self.directory} was taken after "
                    f"{skipped} batches of the epoch, which is no multiple of "
                    f"`steps_per_execution={per_call}`. Compile the model with "
                    "a divisor of it."
                )
        is_placed = self._names_read & {"batches_seen", "step"}
        if not is_placed:
            goes_on = self._goes_on_over_epochs or epochs == 1
            read = snapshot["batches"] - self._first_batch
            self._batches_to_drop = read if goes_on else done
            if self._batches_in_data:
                self._batches_to_drop %= self._batches_in_data

    def _report(self, snapshot: dict[str, Any]) -> None:
        """Says where the training continues."""
        if not self._is_over:
            logging.info("Resumed from step %d.", snapshot["step"])
            return
        logging.info(
            "The training in %s is finished, at step %d. To train further, "
            "ask `fit` for more steps or epochs.",
            self.directory,
            snapshot["step"],
        )
        if self._is_prepared:
            raise TrainingIsOverError

    def _get_callback_states(self) -> CallbackStates:
        channel = get_channel(self.model)
        return CallbackStates(
            [
                *channel.sources,
                *channel.listeners,
                *self.stateful_callbacks,
                *self._stock_callbacks,
            ]
        )

    def _get_newest(self, name: str) -> int:
        return self._newest[name] if self._newest else 0

    def _get_position(self) -> Position:
        if self._newest is None:
            return Position()
        return Position.from_state(self._newest["position"])


def drop_values(snapshot: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns a snapshot without the states, which need memory."""
    if snapshot is None:
        return None
    return {
        name: value
        for name, value in snapshot.items()
        if name not in ("model", "callbacks")
    }
