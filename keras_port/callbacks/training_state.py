"""Snapshots from which a training continues after any interruption."""

from collections.abc import Sequence
import os
from typing import Any
from typing import Protocol

from absl import logging
import keras

from keras_port._support import absolute_path
from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port.callbacks import _interruptions
from keras_port.callbacks._callback_states import CallbackStates
from keras_port.callbacks._callback_states import check_participant
from keras_port.callbacks._configuration import compare_configurations
from keras_port.callbacks._configuration import compare_layers
from keras_port.callbacks._configuration import get_configuration
from keras_port.callbacks._fit_arguments import FitArguments
from keras_port.callbacks._learning_rates import LearningRates
from keras_port.callbacks._learning_rates import get_learning_rates
from keras_port.callbacks._model_state import ModelState
from keras_port.callbacks._model_state import set_metrics
from keras_port.callbacks._position import Position
from keras_port.callbacks._position import Progress
from keras_port.callbacks._random_operations import RandomOperationsWarning
from keras_port.callbacks._snapshot_content import VERSION
from keras_port.callbacks._snapshots import NAME
from keras_port.callbacks._snapshots import SnapshotDirectory
from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import check_optimizer
from keras_port.callbacks._steps import get_step
from keras_port.callbacks._train_function import call_before_first_epoch
from keras_port.callbacks._train_function import unwrap_train_function
from keras_port.callbacks._train_function import wrap_train_function
from keras_port.callbacks.evaluation_listener import get_channel
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
        epoch: Number of epochs of the current `fit` that had ended by then.

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
        self.directory = absolute_path("directory", directory)
        self.save_freq = check_integer("save_freq", save_freq)
        self.max_to_keep = check_integer("max_to_keep", max_to_keep)
        self.total_steps = total_steps
        if total_steps is not None:
            self.total_steps = check_integer("total_steps", total_steps)
        self.stateful_callbacks = tuple(stateful_callbacks)
        # Measures the times of the training; of `Run`.
        self.clock: Clock | None = None
        self._lock: DirectoryLock | None = None
        self._configuration: dict[str, Any] = {}
        self._learning_rates = LearningRates([], [])
        self._is_as_left = False
        self._every = Every(self.save_freq)
        self._names_read: set[str] = set()
        self._arguments = FitArguments()
        self._is_in_fit = False
        self._is_restored = False
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
        # The snapshot, until the batches that are done are skipped.
        self._skipping: dict[str, Any] | None = None
        # What a snapshot of the step holds at which the epoch was stopped.
        self._stopped: dict[str, Any] | None = None
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
        """Number of epochs of the current `fit` that had ended by then."""
        self._update_newest(self._snapshots.count_ended())
        is_next_part = not self._is_own() and self._snapshots.has_model()
        return 0 if is_next_part else self._get_position().epoch

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
        # After the others, so that a snapshot at the end of an epoch holds
        # what they have done there, and before the `History`, as in Keras.
        if not isinstance(
            arguments.get("callbacks"), keras.callbacks.CallbackList
        ):
            known = keras.callbacks.History
            histories = [c for c in others if isinstance(c, known)]
            others = [c for c in others if not isinstance(c, known)]
            arguments["callbacks"] = [*others, self, *histories]
        self._arguments = FitArguments.read(arguments, others)
        self._update_newest(self._snapshots.find_fit(model))
        links = get_links()
        if links is not None:
            # Before the arguments of `fit`, which depend on it, are compared.
            step = self._get_newest("step")
            self._check_steps_of_workers(links.gather("the snapshots", step))
        if self._is_own():
            for callback in others:
                # It would empty the file of the epochs that are done.
                if isinstance(callback, keras.callbacks.CSVLogger):
                    callback.append = True
        if self._is_own() and not arguments.get("initial_epoch"):
            last = max(arguments.get("epochs", 1) - 1, 0)
            arguments["initial_epoch"] = min(self._get_position().epoch, last)

    def set_model(self, model: keras.Model) -> None:
        """Locks the directory before any callback writes to it.

        Keras calls `set_model` of all callbacks before `on_train_begin` of the
        first one.
        """
        super().set_model(model)
        channel = get_channel(model)
        if channel.saver not in (None, self):
            raise ValueError(
                "Two `TrainingState` restore the model of one `fit`. Leave one "
                "of them out."
            )
        channel.saver = self
        if is_chief(model):
            self._lock_directory()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the directory before the first step."""
        check_optimizer(self.model, type(self).__name__)
        self._check_workers()
        self._configuration = get_configuration(
            self.model, self._arguments.class_weight
        )
        self._model_state = ModelState(self.model)
        self._snapshots.end_earlier_writes()
        placed_at = self._get_id()
        self._fit = self._snapshots.find_fit(self.model)
        self._newest = self._snapshots.read_newest(self._fit)
        self._first_batch = self._get_newest("batches")
        self._start_fit(Progress(self._first_batch))
        self._to_restore = self._choose_snapshot()
        if (
            self._to_restore
            and self._names_read
            and self._get_id() != placed_at
        ):
            raise ValueError(
                f"{self.directory} has a snapshot of step "
                f"{self._get_newest('step')}, which was written after this "
                f"`TrainingState` was created, at step {placed_at[1]}, where "
                "the data starts. Create both again."
            )
        self._check_steps()
        if self._to_restore:
            self._check_position()
        known = self._newest["learning_rates"] if self._newest else []
        rates = get_learning_rates(self.model)
        self._is_as_left = _interruptions.is_as_left(self.model)
        if self._is_as_left and known:
            rates = known[0]
        self._learning_rates = LearningRates(rates, known)
        self._newest = drop_values(self._newest)
        self._is_in_fit = True
        self._is_restored = False
        if self._to_restore and self._is_between_epochs():
            call_before_first_epoch(self.model, self._restore_between_epochs)
        function = wrap_train_function(self.model)
        self._counts_in_function = function is not None
        if function is not None:
            function.before.append(self._skip)
            function.before.append(RandomOperationsWarning(function.function))
            function.after.append(self._count)

    def _choose_snapshot(self) -> dict[str, Any] | None:
        """Returns the snapshot to restore, `None` to leave the model as it is.

        Raises:
            ValueError: If the model is at a step at which the data would not
                start.
        """
        newest, here = self._get_newest("step"), get_step(self.model)
        _interruptions.check_stop(self.model, self.directory, here)
        was_interrupted = _interruptions.was_interrupted(self.model)
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
        if here == newest and _interruptions.was_stopped(self.model):
            return None
        return self._newest

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
        if is_known or self._arguments.are_known or self._newest is None:
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

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Restores a snapshot that was taken within an epoch.

        The other callbacks have begun the epoch before, as they had when the
        snapshot was taken.
        """
        if self._to_restore is not None:
            self._restore(epoch)
        else:
            if self._is_restored:
                self._is_restored = False
                self._count_batches_to_skip(self._get_position(), epoch)
            self._progress.start_epoch(epoch)
        self._every.restart(get_step(self.model))

    def _is_between_epochs(self) -> bool:
        """Tells whether another epoch follows the end of one."""
        position, epochs = self._get_position(), self.params.get("epochs", 1)
        return not position.batch and 0 < position.epoch < epochs

    def _restore_between_epochs(self) -> None:
        """Restores the end of an epoch, before any callback begins the next.

        A callback that sets the learning rate in `on_epoch_begin` would
        otherwise set it before it is restored.
        """
        if self._to_restore is not None:
            self._restore(self._get_position().epoch)
            self._is_restored = True

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
        if self._skipping is not None:
            self._restore_after_skipping(self._skipping)
        self._progress.note_batch_size(iterator)
        return None

    def _restore_metrics(self, iterator: Any) -> None:
        """Restores the running metrics, which Keras creates in a step."""
        records, self._metrics = self._metrics, []
        if records:
            build_metrics(self.model, getattr(iterator, "element_spec", None))
            set_metrics(self.model, records)

    def _count(self, logs: dict[str, Any]) -> dict[str, Any]:
        self._progress.count_call(
            self.model.steps_per_execution, self.params.get("steps")
        )
        return logs

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes a snapshot if a multiple of `save_freq` has been passed."""
        _interruptions.note_step(self.model)
        # Not at the end of the batch: then the callbacks that come later in
        # the list have not seen the step yet.
        if self._every.is_due(get_step(self.model)):
            self.save()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Looks at the model if the training stops within the epoch.

        Keras ends the epoch then, as if it were complete: it validates, and
        callbacks count it. A training that continues must not count it twice.
        """
        if not self._counts_in_function:  # In a loop of one's own.
            self._progress.count_call(1, None)
        if self.model.stop_training and not self._is_over:
            self._stopped = self._get_content(None)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes the last snapshot, before the best weights are restored."""
        if self._is_over:
            return
        logs = dict(logs or {})
        if self._is_epoch_complete():
            self._progress.end_epoch()
            self._write(self._get_content((epoch, logs)))
        else:
            content = self._stopped or self._get_content(None)
            self._write({**content, "last_logs": logs})
        self._stopped = None
        self._snapshots.wait()

    def _is_epoch_complete(self) -> bool:
        if not self.model.stop_training:
            return True
        steps = self.params.get("steps")
        if steps is not None:
            return self._progress.is_at_end(steps)
        # Not stopped at the last batch, but afterwards. Only the last callback
        # in the list can tell.
        return self._arguments.are_known and self._stopped is None

    def on_train_interrupted(self) -> None:
        """Notes the configuration of the model, after an exception.

        A `GradientModel` calls this. The next `fit` tells from it whether the
        program has changed the model in between.
        """
        _interruptions.note_exception(self.model)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Releases the lock of the directory."""
        if self._to_restore is not None:
            # Keras had no epoch to begin: all of them are done.
            self._restore(self._get_position().epoch)
        unwrap_train_function(self.model)
        self._names_read.clear()
        self._arguments = FitArguments()
        self._is_in_fit = False
        signal = get_channel(self.model).signal
        stop = None
        if signal is None:
            self._snapshots.note_end(self.model, self._fit)
        else:  # The program starts the same `fit` again.
            step = get_step(self.model)
            stop = _interruptions.Stop(self.directory, signal, step)
        _interruptions.note_end(self.model, stop)
        if self._is_over:
            # Keras has added an epoch, of no step.
            self.model.history.epoch[:] = self._restored_epochs
            self.model.history.history.clear()
            self.model.history.history.update(self._restored_history)
            for source in get_channel(self.model).sources:
                source.write_history()
        self._snapshots.wait()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def save(self) -> None:
        """Takes a snapshot now; it is written while the training continues.

        Raises:
            OSError: If the previous snapshot could not be written.
        """
        self._write(self._get_content(None))

    def _get_content(
        self, ended_epoch: tuple[int, dict[str, Any]] | None
    ) -> dict[str, Any]:
        """Returns the content of a snapshot of now."""
        return {
            "version": VERSION,
            "fit": self._fit,
            "step": get_step(self.model),
            "batches": self._progress.batches,
            # Of these, what was read before this `fit`.
            "first_batch": self._first_batch,
            "position": self._progress.get_position(
                self._arguments.batch_size, self.params.get("steps")
            ).get_state(),
            "configuration": self._configuration,
            "learning_rates": self._learning_rates.all,
            "model": self._model_state.get_state(ended_epoch=ended_epoch),
            # For the history of a training that ends within an epoch.
            "last_logs": {},
            "callbacks": self._get_callback_states().get_states(),
        }

    def _write(self, content: dict[str, Any]) -> None:
        """Writes a snapshot while the training continues."""
        self._every.restart(content["step"])
        self._newest = drop_values(content)
        if is_chief(self.model):
            notes = self.clock.get_notes() if self.clock else {}
            self._snapshots.write_in_background(content, notes)

    def _restore(self, epoch: int) -> None:
        """Restores the snapshot in the first epoch of this `fit`."""
        assert self._to_restore is not None
        snapshot, self._to_restore = self._to_restore, None
        configurations = snapshot["configuration"], self._configuration
        differences = compare_configurations(*configurations)
        if self._is_as_left:
            differences = []
        if not any(line.startswith("optimizer ") for line in differences):
            differences += self._learning_rates.compare()
        callback_states = self._get_callback_states()
        differences += callback_states.compare(snapshot["callbacks"])
        self._refuse(
            differences,
            "compile the model with the same arguments and use the same "
            "callbacks",
        )
        self._continue_from(snapshot, epoch)
        self._restored_epochs = list(snapshot["model"]["epochs"])
        self._metrics = snapshot["model"]["metrics"]
        try:
            self._model_state.check_state(snapshot["model"])
        except ValueError as error:
            raise ValueError(
                f"The snapshots in {self.directory} were made with a different "
                f"model or optimizer: {error}. Choose another directory, or "
                "build the same model."
            ) from error
        if not self._is_as_left:
            differences = compare_layers(*configurations)
            self._refuse(differences, "build the same layers")
        self._model_state.set_state(snapshot["model"])
        callback_states.set_states(
            snapshot["callbacks"],
            snapshot["path"],
            skipped=self._calls_to_skip * self.model.steps_per_execution,
        )
        self._skipping = snapshot if self._calls_to_skip else None
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

    def _restore_after_skipping(self, snapshot: dict[str, Any]) -> None:
        """Restores what callbacks have changed in the batches that are done.

        Keras calls them for these batches once more.
        """
        self._skipping = None
        self._model_state.set_variables(snapshot["model"])
        self._get_callback_states().set_foreign_states(
            snapshot["callbacks"], snapshot["path"]
        )

    def _refuse(self, differences: list[str], remedy: str) -> None:
        """Raises `ValueError` if there are differences."""
        if differences:
            raise ValueError(
                f"The snapshots in {self.directory} were made with a different "
                f"configuration: {'; '.join(differences)}. Choose another "
                f"directory, or {remedy}."
            )

    def _continue_from(self, snapshot: dict[str, Any], epoch: int) -> None:
        """Decides what this `fit` skips."""
        epochs = self.params.get("epochs", 1)
        position = self._get_position().as_unfinished(epochs)
        skipped = self._count_batches_to_skip(position, epoch)
        done = position.batch if epoch == position.epoch else 0
        self._first_batch = snapshot["first_batch"]
        self._start_fit(Progress(snapshot["batches"], epoch, done, skipped))
        self._is_over = (
            skipped is None
            or self._arguments.asks_for_nothing
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
            goes_on = self._arguments.goes_on_over_epochs or epochs == 1
            read = snapshot["batches"] - self._first_batch
            self._batches_to_drop = read if goes_on else done
            if self._arguments.batches_in_data:
                self._batches_to_drop %= self._arguments.batches_in_data

    def _count_batches_to_skip(
        self, position: Position, epoch: int
    ) -> int | None:
        """Returns how many batches of the first epoch are done.

        Args:
            position: Where the snapshot was taken.
            epoch: The epoch in which this `fit` starts.

        Returns:
            `None` if this `fit` asks for nothing more.

        Raises:
            ValueError: If the snapshot does not fit.
        """
        steps, epochs = self.params.get("steps"), self.params.get("epochs", 1)
        try:
            position.check_batch_size(self._arguments.batch_size)
            if epochs == 1 and position.is_left_out(steps, self._names_read):
                return 0
            return position.count_batches_to_skip(epoch, steps, epochs)
        except ValueError as error:
            raise ValueError(
                f"The snapshot of step {self._get_newest('step')} in "
                f"{self.directory} does not fit this `fit`: {error}, or choose "
                "another directory."
            ) from error

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
        if self._arguments.are_known:
            raise TrainingIsOverError

    def _get_callback_states(self) -> CallbackStates:
        channel = get_channel(self.model)
        return CallbackStates(
            [
                *channel.sources,
                *channel.listeners,
                *self.stateful_callbacks,
                *self._arguments.stock_callbacks,
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
