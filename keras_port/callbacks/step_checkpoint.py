"""Saving the model when an evaluation was better."""

import os
import pathlib
import re
import string

from absl import logging
import keras

from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.monitor import Mode
from keras_port.callbacks.monitor import Monitor
from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.checkpoints.atomic_file import remove_leftovers
from keras_port.checkpoints.checkpoint_record import CheckpointRecord
from keras_port.checkpoints.checkpoint_record import read_record
from keras_port.checkpoints.saved_model import write_model
from keras_port.checkpoints.writable_folder import make_writable_folder
from keras_port.training.workers import is_chief

SUFFIXES = (".keras", ".weights.h5")


class StepCheckpoint(EvaluationListener):
    """Saves the model when an evaluation was better, and never loses a better.

    Each file is written beside the old one and takes its place as a whole.
    It carries the value it was saved for: a training that starts again with
    the same path saves only what beats the file that is there
    (keras#17012). On several machines the first of them saves.

    Args:
        path: File to write, ending with `.keras` (the model and its optimizer)
            or `.weights.h5`. With `{step}` in it, or the name of a result, as
            in `"model-{step:06d}.keras"`, each save makes a file of its own.
        monitor: Result of the evaluations to watch. Defaults to
            `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"` to tell it from the name; a name
            that does not tell is refused. Defaults to `"auto"`.
        min_delta: Improvement that counts, in the unit of the result. Defaults
            to 0.
        save_best_only: Whether to save better evaluations only, or all.
            Defaults to `True`.
        max_to_keep: Newest files to keep, if each save makes its own; the best
            one is always kept, too. `None` keeps all. Defaults to 5, as in
            TensorFlow 1's `Saver`.
        overwrite: Whether files of an earlier training may be overwritten by
            worse ones. Defaults to `False`.

    Attributes:
        best: Best value so far, that of the files already there included;
            `None` before there is one.
        best_path: The file of the best value, or `None`.

    Raises:
        ValueError: For another kind of file, a wrong placeholder, an unknown
            direction; before the first step, for a `monitor` that the
            evaluations do not give, and for a file that somebody else wrote
            or that watches another result.
        OSError: Before the first step, for a folder that cannot be written;
            later, if saving fails. The files that were there are as before.

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
        if max_to_keep is not None and max_to_keep < 1:
            raise ValueError(
                "`max_to_keep` must be at least 1 file, or None to keep all. "
                f"Received: max_to_keep={max_to_keep}"
            )
        self.monitor = Monitor(monitor, mode, min_delta)
        self.save_best_only = save_best_only
        self.max_to_keep = max_to_keep
        self.overwrite = overwrite
        self.best: float | None = None
        self.best_path: pathlib.Path | None = None
        self._kept: list[pathlib.Path] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks at the folder and at what is there, before any step."""
        super().on_train_begin(logs)
        self.best, self.best_path, self._kept = None, None, []
        if not is_chief(self.model):
            return
        folder = make_writable_folder(pathlib.Path(self.path).parent)
        remove_leftovers(folder, self._pattern())
        for path in sorted(folder.iterdir()):
            if self._pattern().fullmatch(path.name):
                self._adopt(path)

    def on_evaluation_names(self, names: list[str]) -> None:
        """Refuses a `monitor` or a placeholder that will never come."""
        self.monitor.check_available(names)
        unknown = placeholders(self.path) - {"step", *names}
        if unknown:
            raise ValueError(
                f"`path={self.path!r}` has the placeholders {sorted(unknown)}, "
                f"but only these have a value: step, {', '.join(names)}."
            )

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Saves if the evaluation was better."""
        if self.monitor.name not in logs:
            return  # Another evaluation's results.
        value = logs[self.monitor.name]
        better = self.monitor.is_better(value, self.best)
        if not better and self.save_best_only:
            return
        path = pathlib.Path(self.path.format(step=step, **logs))
        record = CheckpointRecord(self.monitor.name, value, step)
        if is_chief(self.model):
            save_model(self.model, path, record)
        if better:
            self.best, self.best_path = value, path
        self._kept = [kept for kept in self._kept if kept != path] + [path]
        self._remove_old()

    def _adopt(self, path: pathlib.Path) -> None:
        """Takes a file of an earlier training over, or refuses."""
        if self.overwrite:
            return
        record = read_record(path)
        if record is None or record.monitor != self.monitor.name:
            what = (
                "was not written by StepCheckpoint"
                if record is None
                else f"was saved for {record.monitor}, not {self.monitor.name}"
            )
            raise ValueError(
                f"{path} {what}. Move it away, choose another `path`, or give "
                "`overwrite=True`."
            )
        self._kept.append(path)
        if self.monitor.is_better(record.value, self.best):
            self.best, self.best_path = record.value, path
            logging.info(
                "%s has %s=%g of step %d; only a better one replaces it.",
                path,
                record.monitor,
                record.value,
                record.step,
            )

    def _remove_old(self) -> None:
        if self.max_to_keep is None or not placeholders(self.path):
            return
        if not is_chief(self.model):
            return
        for path in self._kept[: -self.max_to_keep]:
            if path != self.best_path:
                path.unlink(missing_ok=True)
                self._kept.remove(path)

    def _pattern(self) -> re.Pattern[str]:
        name = pathlib.Path(self.path).name
        parts = [
            re.escape(text) + ("" if field is None else ".+")
            for text, field, _, _ in string.Formatter().parse(name)
        ]
        return re.compile("".join(parts))


def save_model(
    model: keras.Model, path: pathlib.Path, record: CheckpointRecord
) -> None:
    """Saves the model or its weights with the record, as a whole."""
    try:
        with atomic_file(path) as partial:
            write_model(model, partial, record)
    except OSError as error:
        raise OSError(
            f"Step {record.step}: {path} could not be saved: {error}. What was "
            "saved before is as it was. Mend the disk and start again."
        ) from error


def check_path(path: str) -> None:
    """Raises `ValueError` for a path that could never be written."""
    if not path.endswith(SUFFIXES):
        raise ValueError(
            f"`path` must end with one of {SUFFIXES}. Received: path={path!r}"
        )
    if placeholders(path) and placeholders(os.path.dirname(path)):
        raise ValueError(
            "`path` may have placeholders in the file's name only. "
            f"Received: path={path!r}"
        )


def placeholders(path: str) -> set[str]:
    """Returns the names in braces: `{"step"}` for `"m-{step:06d}.keras"`."""
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(path)}
    except ValueError as error:
        raise ValueError(
            f"`path={path!r}` has a wrong placeholder: {error}. Write it like "
            "`model-{step:06d}.keras`."
        ) from error
    return {field for field in fields if field is not None}
