"""Saves the model when an evaluation improves."""

import os
import pathlib
import re
import string

from absl import logging
import keras

from keras_port._support import check_integer
from keras_port.callbacks._monitor import Mode
from keras_port.callbacks._monitor import Monitor
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.checkpoints import CheckpointRecord
from keras_port.checkpoints import atomic_file
from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import read_record
from keras_port.checkpoints import remove_leftovers
from keras_port.checkpoints import write_model
from keras_port.training import is_chief

SUFFIXES = (".keras", ".weights.h5")


class StepCheckpoint(EvaluationListener):
    """Saves the model when the monitored result improves.

    It never replaces a better file. Every file carries the value for which it
    was saved, so a training that starts again with the same path replaces the
    existing file only by a better one (keras#17012). A new file replaces the
    old one as a whole, after it is completely on disk. On several machines the
    first of them saves.

    Args:
        path: File to write, ending with `.keras` (the model and its optimizer)
            or `.weights.h5`. With `{step}` or the name of a result in it, as
            in `"model-{step:06d}.keras"`, every save makes its own file.
        monitor: Result of the evaluations to watch. Defaults to
            `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"` to infer it from the name, which
            raises an error if it is not clear. Defaults to `"auto"`.
        min_delta: Smallest improvement that counts, in the unit of the result.
            Defaults to 0.
        save_best_only: Whether to save only after an improvement, and not
            after every evaluation. Defaults to `True`.
        max_to_keep: Number of newest files to keep if every save makes its own
            file; the best one is always kept, too. `None` keeps all. Defaults
            to 5, as in TensorFlow 1's `Saver`.
        overwrite: Whether to overwrite the files of an earlier training, even
            by worse ones. Defaults to `False`.

    Attributes:
        best: Best value so far, including the files that existed before;
            `None` before the first one.
        best_path: File of the best value, or `None`.

    Raises:
        ValueError: If `path` has another suffix or a wrong placeholder,
            `max_to_keep` is not a positive integer, or the direction is
            unknown; and, before the first step, if the evaluations do not
            produce `monitor`, or if a file exists that `StepCheckpoint` did
            not write or that was saved for another result.
        OSError: Before the first step, if the directory cannot be written to;
            later, if saving fails. Files saved earlier stay unchanged.

    Example:

    >>> checkpoint = StepCheckpoint("model.keras")
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[StepEvaluation(splits.validation), checkpoint],
    ...     verbose=0,
    ... )
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        monitor: str = "val_accuracy",
        mode: Mode = "auto",
        min_delta: float = 0.0,
        save_best_only: bool = True,
        max_to_keep: int | None = 5,
        overwrite: bool = False,
    ) -> None:
        super().__init__()
        self.path = os.fspath(path)
        check_path(self.path)
        if max_to_keep is not None:
            max_to_keep = check_integer(
                "max_to_keep",
                max_to_keep,
                note=", in files, or None to keep all",
            )
        self.monitor = monitor
        self.save_best_only = save_best_only
        self.max_to_keep = max_to_keep
        self.overwrite = overwrite
        self.best: float | None = None
        self.best_path: pathlib.Path | None = None
        self._monitor = Monitor(monitor, mode, min_delta)
        self._kept: list[pathlib.Path] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the directory and its files before the first step."""
        super().on_train_begin(logs)
        self.best, self.best_path, self._kept = None, None, []
        if not is_chief(self.model):
            return
        directory = make_writable_directory(pathlib.Path(self.path).parent)
        remove_leftovers(directory, self._get_pattern())
        for path in sorted(directory.iterdir()):
            if self._get_pattern().fullmatch(path.name):
                self._adopt(path)

    def on_evaluation_names(self, names: list[str]) -> None:
        """Rejects a `monitor` or a placeholder that no evaluation produces."""
        self._monitor.check_available(names)
        unknown = find_placeholders(self.path) - {"step", *names}
        if unknown:
            raise ValueError(
                f"`path={self.path!r}` has the placeholders {sorted(unknown)}, "
                f"but only these have a value: step, {', '.join(names)}."
            )

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Saves the model if the result improved."""
        if self.monitor not in logs:
            return  # The results of another evaluation.
        value = logs[self.monitor]
        is_better = self._monitor.is_better(value, self.best)
        if not is_better and self.save_best_only:
            return
        path = pathlib.Path(self.path.format(step=step, **logs))
        record = CheckpointRecord(self.monitor, value, step)
        if is_chief(self.model):
            save_model(self.model, path, record)
        if is_better:
            self.best, self.best_path = value, path
        self._kept = [kept for kept in self._kept if kept != path] + [path]
        self._remove_old()

    def _adopt(self, path: pathlib.Path) -> None:
        """Counts a file of an earlier training as saved, or rejects it."""
        if self.overwrite:
            return
        record = read_record(path)
        if record is None or record.monitor != self.monitor:
            reason = (
                "was not written by StepCheckpoint"
                if record is None
                else f"was saved for {record.monitor}, not {self.monitor}"
            )
            raise ValueError(
                f"{path} {reason}. Move it away, choose another `path`, or "
                "pass `overwrite=True`."
            )
        self._kept.append(path)
        if self._monitor.is_better(record.value, self.best):
            self.best, self.best_path = record.value, path
            logging.info(
                "%s has %s=%g from step %d; only a better one replaces it.",
                path,
                record.monitor,
                record.value,
                record.step,
            )

    def _remove_old(self) -> None:
        if self.max_to_keep is None or not find_placeholders(self.path):
            return
        if not is_chief(self.model):
            return
        for path in self._kept[: -self.max_to_keep]:
            if path != self.best_path:
                path.unlink(missing_ok=True)
                self._kept.remove(path)

    def _get_pattern(self) -> re.Pattern[str]:
        name = pathlib.Path(self.path).name
        parts = [
            re.escape(text) + ("" if field is None else ".+")
            for text, field, _, _ in string.Formatter().parse(name)
        ]
        return re.compile("".join(parts))


def save_model(
    model: keras.Model, path: pathlib.Path, record: CheckpointRecord
) -> None:
    """Saves the model or its weights, with the record, as a whole."""
    try:
        with atomic_file(path) as partial:
            write_model(model, partial, record)
    except OSError as error:
        raise OSError(
            f"Step {record.step}: {path} could not be saved: {error}. Files "
            "saved earlier are unchanged. Free disk space, then run the same "
            "command again."
        ) from error


def check_path(path: str) -> None:
    """Raises `ValueError` for a path that could never be written."""
    if not path.endswith(SUFFIXES):
        raise ValueError(
            f"`path` must end with one of {SUFFIXES}. Received: path={path!r}"
        )
    if find_placeholders(path) and find_placeholders(os.path.dirname(path)):
        raise ValueError(
            "`path` may have placeholders in the file's name only. "
            f"Received: path={path!r}"
        )


def find_placeholders(path: str) -> set[str]:
    """Returns the names in braces: `{"step"}` for `"m-{step:06d}.keras"`."""
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(path)}
    except ValueError as error:
        raise ValueError(
            f"`path={path!r}` has a wrong placeholder: {error}. Write it like "
            "`model-{step:06d}.keras`."
        ) from error
    return {field for field in fields if field is not None}
