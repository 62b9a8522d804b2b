"""Snapshots from which a training continues after any interruption."""

from collections.abc import Sequence
import os
import pathlib
import re
from typing import Any

from absl import logging
import keras

from keras_port._support import check_integer
from keras_port.callbacks import _model_state
from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import get_step
from keras_port.callbacks.evaluation_listener import get_channel
from keras_port.checkpoints import BackgroundWriter
from keras_port.checkpoints import FolderLock
from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import read_snapshot
from keras_port.checkpoints import remove_leftovers
from keras_port.checkpoints import write_snapshot
from keras_port.training import get_workers
from keras_port.training import is_chief

SNAPSHOT = re.compile(r"state-(?P<step>\d+)\.npz")


class TrainingState(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets the next start of a training continue where this one stopped.

    A snapshot holds the weights, the optimizer with its slots and iterations,
    gradients that are still accumulated, random states, running metrics, the
    history, and the states of the callbacks in the same `fit`. A resumed
    training ends with the weights of one that was never interrupted, to the
    bit, if it also skips what is done. Two numbers say how much that is, and
    both must be passed, as in the example below:

    - `start_batch=state.batches_seen` skips the batches that were read;
    - `steps_per_epoch=total_steps - state.step` leaves out the steps that were
      made.

    This callback cannot see the data. But it raises an error before the first
    step if it is about to restore a snapshot and the program has not read the
    number of batches to skip: the data would then start at the first batch,
    and the training would be longer than planned.

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
        max_to_keep: Number of newest snapshots to keep; an older one is used
            if the newest is broken. Defaults to 2.
        stateful_callbacks: Callbacks whose state is saved although they are
            not an `EvaluationListener`. Defaults to none.

    Attributes:
        step: Step of the newest complete snapshot, 0 without one. Known before
            `fit`.
        batches_seen: Batches that had been read by then, which `fit` must not
            read again. Equals `step` unless gradients are accumulated or
            updates were skipped.

    Raises:
        ValueError: If `save_freq` or `max_to_keep` is not a positive integer;
            and, before the first step, if the snapshot is from another model
            or configuration, if the model has no weights yet, or if a snapshot
            would be restored and the program has not read `batches_seen` (or
            `step`, where the two are equal).
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
        stateful_callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        super().__init__()
        for callback in stateful_callbacks:
            check_participant(callback)
        self.directory = pathlib.Path(directory)
        self.save_freq = check_integer("save_freq", save_freq)
        self.max_to_keep = check_integer("max_to_keep", max_to_keep)
        self.stateful_callbacks = tuple(stateful_callbacks)
        self._writer = BackgroundWriter()
        self._lock: FolderLock | None = None
        self._configuration: dict[str, Any] = {}
        self._every = Every(self.save_freq)
        self._snapshot = self._read_newest()
        self._names_read: set[str] = set()

    @property
    def step(self) -> int:
        """Step of the newest complete snapshot, 0 without one."""
        self._names_read.add("step")
        return self._get_snapshot_step()

    @property
    def batches_seen(self) -> int:
        """Batches that had been read by then."""
        self._names_read.add("batches_seen")
        return self._get_snapshot_batches()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the directory before the first step."""
        if is_chief(self.model):
            self._lock_directory()
        self._check_workers()
        self._configuration = _model_state.get_configuration(self.model)
        known = self._get_snapshot_step()
        self._snapshot = self._read_newest()
        newest = self._get_snapshot_step()
        if newest <= get_step(self.model):
            self._snapshot = None  # The model has these steps already.
        elif newest != known:
            raise ValueError(
                f"{self.directory} has a snapshot of step {newest}, which was "
                f"written after this `TrainingState` was created at step "
                f"{known}, where the data starts. Create the `TrainingState` "
                "and the data again."
            )
        else:
            self._check_position()

    def _lock_directory(self) -> None:
        make_writable_directory(self.directory)
        if self._lock is not None:  # An earlier `fit` raised an exception.
            self._lock.release()
        self._lock = FolderLock(self.directory)
        remove_leftovers(self.directory, SNAPSHOT)

    def _check_workers(self) -> None:
        """Raises an error unless all machines restore the same snapshot."""
        workers = get_workers(self.model)
        if workers is None:
            return
        own = self._get_snapshot_step()
        steps = [int(step) for step in workers.gather(own)]
        if len(set(steps)) > 1:
            raise ValueError(
                f"The workers would continue from different steps, {steps}. "
                "`directory` must be a directory that all of them can read. "
                f"Received: directory={str(self.directory)!r}"
            )

    def _check_position(self) -> None:
        """Raises an error if the data cannot start where the model does."""
        step, batches = self._get_snapshot_step(), self._get_snapshot_batches()
        enough = (
            {"batches_seen", "step"} if step == batches else {"batches_seen"}
        )
        if self._names_read & enough:
            return
        raise ValueError(
            f"{self.directory} holds a snapshot of step {step}, after "
            f"{batches} batches, but the program has not read "
            f"`{'` or `'.join(sorted(enough))}` of this `TrainingState`. So "
            "the data would start at its first batch again. Create the "
            "`TrainingState` first, and skip what is done:\n"
            "    shuffled_batches(..., start_batch=state.batches_seen)\n"
            "    model.fit(..., steps_per_epoch=total_steps - state.step)\n"
            "To start from the beginning, choose another directory."
        )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Restores the snapshot, after `on_train_begin` of every callback."""
        if self._snapshot is not None:
            self._restore(self._snapshot)
            self._snapshot = None
        self._every.restart(get_step(self.model))

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes a snapshot if a multiple of `save_freq` has been passed."""
        # Not at the end of the batch: then the callbacks that come later in
        # the list have not seen the step yet.
        if self._every.is_due(get_step(self.model)):
            self.save()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes the last snapshot, before the best weights are restored."""
        if self.model.stop_training:
            # The epoch is incomplete as far as this callback can know.
            self._take(None)
        else:
            self._take((epoch, dict(logs or {})))
        self._writer.wait()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Releases the lock of the directory."""
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

    def _take(self, ended_epoch: tuple[int, dict[str, Any]] | None) -> None:
        step = get_step(self.model)
        self._every.restart(step)
        if not is_chief(self.model):
            return
        content = {
            "step": step,
            "batches": int(getattr(self.model, "batches_seen", step)),
            "configuration": self._configuration,
            "model": _model_state.get_state(
                self.model, ended_epoch=ended_epoch
            ),
            "callbacks": {
                name: callback.get_state()
                for name, callback in self._get_participants().items()
            },
        }
        self._writer.submit(lambda: self._write(content))

    def _write(self, content: dict[str, Any]) -> None:
        path = self.directory / f"state-{content['step']:08d}.npz"
        try:
            write_snapshot(path, content)
        except OSError as error:
            raise OSError(
                f"Step {content['step']}: {path} could not be saved: {error}. "
                "Earlier snapshots are unchanged. Free disk space, then run "
                "the same command again."
            ) from error
        for old in self._list_paths()[: -self.max_to_keep]:
            old.unlink(missing_ok=True)

    def _restore(self, snapshot: dict[str, Any]) -> None:
        differences = _model_state.compare_configurations(
            snapshot["configuration"], self._configuration
        )
        if differences:
            raise ValueError(
                f"The snapshots in {self.directory} were made with a different "
                f"configuration: {'; '.join(differences)}. Choose another "
                "directory, or compile the model with the same arguments."
            )
        try:
            _model_state.set_state(self.model, snapshot["model"])
        except ValueError as error:
            raise ValueError(
                f"The snapshots in {self.directory} were made with a different "
                f"model or optimizer: {error}. Choose another directory, or "
                "build the same model."
            ) from error
        participants = self._get_participants()
        for name, state in snapshot["callbacks"].items():
            if name in participants:
                participants[name].set_state(state)
        logging.info("Resumed from step %d.", snapshot["step"])

    def _get_participants(self) -> dict[str, Any]:
        """Returns the callbacks with a state, by class name and number."""
        channel = get_channel(self.model)
        callbacks = [*channel.sources, *channel.listeners]
        callbacks += [c for c in self.stateful_callbacks if c not in callbacks]
        named: dict[str, Any] = {}
        for callback in callbacks:
            if hasattr(callback, "get_state"):
                name = type(callback).__name__
                same = sum(key.split(":")[0] == name for key in named)
                named[f"{name}:{same}"] = callback
        return named

    def _get_snapshot_step(self) -> int:
        return self._snapshot["step"] if self._snapshot else 0

    def _get_snapshot_batches(self) -> int:
        return self._snapshot["batches"] if self._snapshot else 0

    def _read_newest(self) -> dict[str, Any] | None:
        """Returns the newest complete snapshot, or `None` without one."""
        for path in reversed(self._list_paths()):
            try:
                return read_snapshot(path)
            except ValueError as error:
                logging.warning("%s The previous snapshot is used.", error)
        return None

    def _list_paths(self) -> list[pathlib.Path]:
        """Returns the paths of the snapshots, the oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            path
            for path in self.directory.iterdir()
            if SNAPSHOT.fullmatch(path.name)
        )


def check_participant(callback: keras.callbacks.Callback) -> None:
    """Raises `ValueError` unless a callback has the two methods."""
    for method in ("get_state", "set_state"):
        if not callable(getattr(callback, method, None)):
            raise ValueError(
                f"`stateful_callbacks` need the methods `get_state` and "
                f"`set_state`. Received: {type(callback).__name__}, which has "
                f"no `{method}`."
            )
