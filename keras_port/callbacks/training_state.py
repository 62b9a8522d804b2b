"""A training that goes on where it was, after whatever ended it."""

from collections.abc import Sequence
import os
import pathlib
import re
from typing import Any

from absl import logging
import keras

from keras_port._support import check_integer
from keras_port.callbacks import model_state
from keras_port.callbacks.evaluation_listener import channel_of
from keras_port.checkpoints.atomic_file import remove_leftovers
from keras_port.checkpoints.background_writer import BackgroundWriter
from keras_port.checkpoints.folder_lock import FolderLock
from keras_port.checkpoints.snapshot import read_snapshot
from keras_port.checkpoints.snapshot import write_snapshot
from keras_port.checkpoints.writable_folder import make_writable_folder
from keras_port.training.workers import is_chief
from keras_port.training.workers import workers_of

SNAPSHOT = re.compile(r"state-(?P<step>\d+)\.npz")


class TrainingState(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets the next start of a training go on where this one was.

    A snapshot holds the weights, the optimizer with its slots and its
    iterations, gradients that wait for more batches, random states, running
    metrics, the history, and the states of the callbacks in the same `fit`.
    Together with `shuffled_batches(..., start_batch=state.batches_seen)` a resumed
    training gives the weights of one that was never interrupted, to the bit.

    The training waits for the copy of these values only; the file is written
    beside it. One training at a time has the folder. On several machines the
    first writes it, and all must see it.

    Any callback can take part: it has the two methods `get_state()`, which
    returns dictionaries and lists of plain values and arrays, and
    `set_state(state)`, and is a `EvaluationListener` or listed in
    `stateful_callbacks`. `set_state` is called before the first step, when
    every callback's `on_train_begin` has been called.

    Args:
        directory: Folder of the snapshots, made if it is not there.
        save_freq: Steps between snapshots. One more is written when the
            training ends. Defaults to 100.
        max_to_keep: Newest snapshots to keep; an older one is used if the
            newest is broken. Defaults to 2.
        stateful_callbacks: Callbacks to keep the state of that are no
            `EvaluationListener`. Defaults to none.

    Attributes:
        step: Step of the newest snapshot that is whole, 0 without one. Known
            before `fit`.
        batches: Batches that had been read by then, which `fit` must not read
            again. The same as `step`, unless gradients are accumulated or
            updates were left out.

    Raises:
        ValueError: For counts below 1; before the first step, for a snapshot
            of another model or another configuration, or a model without
            weights yet.
        OSError: Before the first step, for a folder that cannot be written or
            that another training has; later, if a snapshot cannot be written.

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
        check_integer("save_freq", save_freq)
        check_integer("max_to_keep", max_to_keep)
        for callback in stateful_callbacks:
            check_participant(callback)
        self.directory = pathlib.Path(directory)
        self.save_freq = save_freq
        self.max_to_keep = max_to_keep
        self.stateful_callbacks = tuple(stateful_callbacks)
        self._writer = BackgroundWriter()
        self._lock: FolderLock | None = None
        self._configuration: dict[str, Any] = {}
        self._snapshot = self._newest_snapshot()
        self._last_step = self.step

    @property
    def step(self) -> int:
        """Step of the newest snapshot that is whole, 0 without one."""
        return self._snapshot["step"] if self._snapshot else 0

    @property
    def batches_seen(self) -> int:
        """Batches that had been read by then."""
        return self._snapshot["batches"] if self._snapshot else 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks at the folder before any step."""
        if is_chief(self.model):
            self._take_folder()
        self._check_workers()
        self._configuration = model_state.configuration(self.model)
        known = self.step
        self._snapshot = self._newest_snapshot()
        if self.step <= self._step():
            self._snapshot = None  # The model is there already.
        elif self.step != known:
            raise ValueError(
                f"{self.directory} has got a snapshot of step {self.step} "
                f"since this `TrainingState` was made at step {known}, which "
                "the data begins at. Make both anew."
            )

    def _take_folder(self) -> None:
        make_writable_folder(self.directory)
        if self._lock is not None:  # A `fit` before this one has raised.
            self._lock.release()
        self._lock = FolderLock(self.directory)
        remove_leftovers(self.directory, SNAPSHOT)

    def _check_workers(self) -> None:
        """Raises unless all machines go on from the same snapshot."""
        workers = workers_of(self.model)
        if workers is None:
            return
        steps = [int(step) for step in workers.values(self.step)]
        if len(set(steps)) > 1:
            raise ValueError(
                f"The workers would go on from different steps, {steps}. Give "
                f"`directory` as a folder that all of them see; this one has "
                f"{self.directory}."
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Restores, once every callback's `on_train_begin` has been called."""
        if self._snapshot is not None:
            self._restore(self._snapshot)
            self._snapshot = None
        self._last_step = self._step()

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes a snapshot if a multiple of `save_freq` has been passed."""
        # Not at the batch's end: then the callbacks behind this one in the
        # list would not have seen the step yet.
        step = self._step()
        if step // self.save_freq > self._last_step // self.save_freq:
            self.save()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Takes the last snapshot, before the best weights are restored."""
        if self.model.stop_training:
            # In the middle of the epoch, for all that is known.
            self._take(None)
        else:
            self._take((epoch, dict(logs or {})))
        self._writer.wait()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Gives the folder back."""
        self._writer.wait()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def save(self) -> None:
        """Takes a snapshot now; it is written while the training goes on.

        Raises:
            OSError: If the snapshot before this one could not be written.
        """
        self._take(None)

    def _take(self, ended_epoch: tuple[int, dict[str, Any]] | None) -> None:
        step = self._last_step = self._step()
        if not is_chief(self.model):
            return
        content = {
            "step": step,
            "batches": int(getattr(self.model, "batches_seen", step)),
            "configuration": self._configuration,
            "model": model_state.state_of(self.model, ended_epoch=ended_epoch),
            "callbacks": {
                name: callback.get_state()
                for name, callback in self._participants().items()
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
                "The snapshots before are as they were. Mend the disk and "
                "start again."
            ) from error
        for old in self._paths()[: -self.max_to_keep]:
            old.unlink(missing_ok=True)

    def _restore(self, snapshot: dict[str, Any]) -> None:
        differing = model_state.differences(
            snapshot["configuration"], self._configuration
        )
        if differing:
            raise ValueError(
                f"The snapshots in {self.directory} are of another "
                f"configuration: {'; '.join(differing)}. Choose another "
                "directory, or compile the model as it was."
            )
        try:
            model_state.restore(self.model, snapshot["model"])
        except ValueError as error:
            raise ValueError(
                f"The snapshots in {self.directory} are of another model or "
                f"another optimizer: {error}. Choose another directory, or "
                "build the same model."
            ) from error
        participants = self._participants()
        for name, state in snapshot["callbacks"].items():
            if name in participants:
                participants[name].set_state(state)
        logging.info("Resumed from step %d.", snapshot["step"])

    def _participants(self) -> dict[str, Any]:
        """Returns the callbacks that have a state, by their class and rank."""
        channel = channel_of(self.model)
        callbacks = [*channel.sources, *channel.listeners]
        callbacks += [c for c in self.stateful_callbacks if c not in callbacks]
        named: dict[str, Any] = {}
        for callback in callbacks:
            if hasattr(callback, "get_state"):
                name = type(callback).__name__
                same = sum(key.split(":")[0] == name for key in named)
                named[f"{name}:{same}"] = callback
        return named

    def _newest_snapshot(self) -> dict[str, Any] | None:
        for path in reversed(self._paths()):
            try:
                return read_snapshot(path)
            except ValueError as error:
                logging.warning("%s The one before it is used.", error)
        return None

    def _paths(self) -> list[pathlib.Path]:
        if not self.directory.is_dir():
            return []
        return sorted(
            path
            for path in self.directory.iterdir()
            if SNAPSHOT.fullmatch(path.name)
        )

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())


def check_participant(callback: keras.callbacks.Callback) -> None:
    """Raises `ValueError` unless a callback has the two methods."""
    for method in ("get_state", "set_state"):
        if not callable(getattr(callback, method, None)):
            raise ValueError(
                f"`stateful_callbacks` need the methods `get_state` and "
                f"`set_state`. Received: {type(callback).__name__}, which has "
                f"no `{method}`."
            )
