"""A training that goes on where it was, after whatever ended it."""

import os
import pathlib
import re
from typing import Any

from absl import logging
import keras
import numpy as np

from keras_port.callbacks.evaluation_listener import channel_of
from keras_port.checkpoints.atomic_file import remove_leftovers
from keras_port.checkpoints.snapshot import read_snapshot
from keras_port.checkpoints.snapshot import write_snapshot
from keras_port.checkpoints.writable_folder import make_writable_folder

SNAPSHOT = re.compile(r"state-(?P<step>\d+)\.npz")


class TrainingState(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets the next start of a training go on where this one was.

    A snapshot holds the weights, the optimizer with its slots and its
    iterations, random states, running metrics, and the states of the callbacks
    of this package that are in the same `fit`. Together with
    `shuffled_batches(..., start_step=state.step)` a resumed training gives the
    weights of one that was never interrupted, to the bit.

    Args:
        directory: Folder of the snapshots, made if it is not there.
        save_freq: Steps between snapshots. One more is written when the
            training ends. Defaults to 100.
        max_to_keep: Newest snapshots to keep; an older one is used if the
            newest is broken. Defaults to 2.

    Attributes:
        step: Step of the newest snapshot that is whole, 0 without one. Known
            before `fit`, which needs it for the data.

    Raises:
        ValueError: For counts below 1; before the first step, for a snapshot
            of another model or a model without weights yet.
        OSError: Before the first step, for a folder that cannot be written.

    Example:

    >>> state = TrainingState("state", save_freq=2)
    >>> batches = shuffled_batches(
    ...     splits.train, 8, seed=1, start_step=state.step
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
    ) -> None:
        super().__init__()
        for name, count in (
            ("save_freq", save_freq),
            ("max_to_keep", max_to_keep),
        ):
            if not isinstance(count, int) or count < 1:
                raise ValueError(
                    f"`{name}` must be a positive integer. "
                    f"Received: {name}={count}"
                )
        self.directory = pathlib.Path(directory)
        self.save_freq = save_freq
        self.max_to_keep = max_to_keep
        self._snapshot = self._newest_snapshot()
        self._last_step = self.step

    @property
    def step(self) -> int:
        """Step of the newest snapshot that is whole, 0 without one."""
        return self._snapshot["step"] if self._snapshot else 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks at the folder before any step."""
        make_writable_folder(self.directory)
        remove_leftovers(self.directory, SNAPSHOT)
        # Another `fit` may have written since this object was made.
        self._snapshot = self._newest_snapshot()
        if self._snapshot and not self._is_newer_than_model():
            self._snapshot = None

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
        """Writes a snapshot if a multiple of `save_freq` has been passed."""
        # Not at the batch's end: then the callbacks behind this one in the
        # list would not have seen the step yet.
        step = self._step()
        if step // self.save_freq > self._last_step // self.save_freq:
            self.save()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes the last snapshot, before the best weights are restored."""
        if self._step() != self._last_step:
            self.save()

    def save(self) -> None:
        """Writes a snapshot of the training as it is now."""
        step = self._step()
        content = {
            "step": step,
            "variables": records(self._variables()),
            "metrics": records(self.model.metrics_variables),
            "callbacks": {
                name: callback.get_state()
                for name, callback in self._participants().items()
            },
        }
        write_snapshot(self.directory / f"state-{step:08d}.npz", content)
        self._last_step = step
        for path in self._paths()[: -self.max_to_keep]:
            path.unlink(missing_ok=True)

    def _restore(self, snapshot: dict[str, Any]) -> None:
        variables = self._variables()
        saved = snapshot["variables"]
        expected = [(plain(v.path), tuple(v.shape)) for v in variables]
        found = [(plain(v["path"]), v["value"].shape) for v in saved]
        if expected != found:
            differing = sorted(set(expected) ^ set(found))
            raise ValueError(
                f"The snapshots in {self.directory} are of another model or "
                f"another optimizer; {len(differing)} of the variables "
                f"differ, the first is {differing[:1]}. Choose another "
                "directory, or build the same model."
            )
        for variable, record in zip(variables, saved, strict=True):
            variable.assign(record["value"])
        # Keras makes most of the metrics' variables in the first step only.
        # Where an evaluation has not made them before, their means begin anew.
        metrics = {v.path: v for v in self.model.metrics_variables}
        for record in snapshot["metrics"]:
            if record["path"] in metrics:
                metrics[record["path"]].assign(record["value"])
        participants = self._participants()
        for name, state in snapshot["callbacks"].items():
            if name in participants:
                participants[name].set_state(state)
        logging.info("Resumed from step %d.", snapshot["step"])

    def _variables(self) -> list[Any]:
        """Returns all that a step changes, each variable once."""
        model = self.model
        if not model.built:
            raise ValueError(
                "`TrainingState` needs a model that has its weights. Give the "
                "first layer an `Input`, or call the model once."
            )
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        metrics = {id(v) for v in model.metrics_variables}
        variables = [*model.variables, *model.optimizer.variables]
        return [v for v in variables if id(v) not in metrics]

    def _participants(self) -> dict[str, Any]:
        """Returns the callbacks that have a state, by their class and rank."""
        channel = channel_of(self.model)
        named: dict[str, Any] = {}
        for callback in [*channel.sources, *channel.listeners]:
            if hasattr(callback, "get_state"):
                name = type(callback).__name__
                same = sum(key.split(":")[0] == name for key in named)
                named[f"{name}:{same}"] = callback
        return named

    def _is_newer_than_model(self) -> bool:
        assert self._snapshot is not None
        return bool(self._snapshot["step"] > self._step())

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
        return int(self.model.optimizer.iterations)


def records(variables: list[Any]) -> list[dict[str, Any]]:
    """Returns the names and values of variables, for a snapshot."""
    return [{"path": v.path, "value": np.asarray(v)} for v in variables]


def plain(path: str) -> str:
    """Returns a variable's path without Keras' automatic numbers.

    The second model in a process has `dense_1` where the first had `dense`.
    """
    return re.sub(r"_\d+(?=/|_|$)", "", path)
