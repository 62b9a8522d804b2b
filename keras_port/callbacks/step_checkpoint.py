"""Saves the model when an evaluation improves."""

import os
import pathlib

from absl import logging
import keras

from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port.callbacks._monitor import Mode
from keras_port.callbacks._monitor import Monitor
from keras_port.callbacks._path_template import PathTemplate
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.checkpoints import CheckpointRecord
from keras_port.checkpoints import atomic_file
from keras_port.checkpoints import make_writable_directory
from keras_port.checkpoints import read_record
from keras_port.checkpoints import remove_leftovers
from keras_port.checkpoints import write_model
from keras_port.training import is_chief


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
            in `"model-{step:06d}.keras"`, every save makes its own file. `~`
            is your home directory; a bucket such as `gs://` is rejected.
        monitor: Result of the evaluations to watch. Defaults to
            `"val_accuracy"`.
        mode: `"max"`, `"min"`, or `"auto"` to infer it from the name, which
            raises an error if it is not clear. Defaults to `"auto"`.
        min_delta: Smallest improvement that counts, in the unit of the result.
            Defaults to 0.
        save_best_only: Whether to save only after an improvement, and not
            after every evaluation. Defaults to `True`.
        max_to_keep: Number of files to keep, those of the last steps, if every
            save makes its own file; the best one is always kept, too. Files
            that an earlier training saved with the same `path` and `monitor`
            count. No other file is removed. `None` keeps all. Defaults to 5,
            as in TensorFlow 1's `Saver`.
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
            produce `monitor`, or if a file that a save may replace was not
            written by `StepCheckpoint` or was saved for another result.
        OSError: Before the first step, if the directory cannot be written to;
            later, if saving fails. Files saved earlier stay unchanged.

    Example:

    >>> checkpoint = StepCheckpoint("model.keras")
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[
    ...         StepEvaluation(splits.validation, eval_freq=2),
    ...         checkpoint,
    ...     ],
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
        self._template = PathTemplate(path)
        self.path = str(self._template.path)
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

    def __repr__(self) -> str:
        return format_call(self, "path", "monitor", "best")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the directory and its files before the first step."""
        super().on_train_begin(logs)
        self.best, self.best_path, self._kept = None, None, []
        if not is_chief(self.model):
            return
        directory = make_writable_directory(self._template.directory)
        remove_leftovers(directory, self._template.may_write)
        if not self.overwrite:
            self._adopt_files(directory)

    def on_evaluation_names(self, names: list[str]) -> None:
        """Rejects a `monitor` or a placeholder that no evaluation produces."""
        self._monitor.check_available(names)
        unknown = self._template.placeholders - {"step", *names}
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
        path = self._template.format({**logs, "step": step})
        record = CheckpointRecord(self.monitor, value, step)
        if is_chief(self.model):
            save_model(self.model, path, record)
        if is_better:
            self.best, self.best_path = value, path
        self._kept = [kept for kept in self._kept if kept != path] + [path]
        self._remove_old()

    def _adopt_files(self, directory: pathlib.Path) -> None:
        """Counts the files of an earlier training as saved."""
        adopted = []
        for path in sorted(directory.iterdir()):
            record = self._read_own_record(path)
            if record is None:
                continue
            adopted.append((record.step, path))
            if self._monitor.is_better(record.value, self.best):
                self.best, self.best_path = record.value, path
                logging.info(
                    "%s has %s=%g from step %d; only a better one replaces it.",
                    path,
                    record.monitor,
                    record.value,
                    record.step,
                )
        # By step, because names without leading zeros sort differently.
        self._kept = [path for _, path in sorted(adopted)]

    def _read_own_record(self, path: pathlib.Path) -> CheckpointRecord | None:
        """Returns the record of a file that `path` may replace.

        Returns:
            `None` for every other file of the directory.

        Raises:
            ValueError: If the file was not saved by this `path` and `monitor`.
        """
        if not self._template.is_like(path.name):
            return None
        may_write = self._template.may_write(path.name)
        try:
            record = read_record(path)
        except ValueError:
            if may_write:
                raise
            return None
        if record and self._template.wrote(path.name, record):
            if record.monitor == self.monitor:
                return record
            reason = f"was saved for {record.monitor}, not {self.monitor}"
        elif not may_write:
            return None
        elif record:
            reason = f"was saved at step {record.step} and then renamed"
        else:
            reason = "was not written by StepCheckpoint"
        raise ValueError(
            f"{path} {reason}. Move it away, choose another `path`, or pass "
            "`overwrite=True`."
        )

    def _remove_old(self) -> None:
        if self.max_to_keep is None or not self._template.placeholders:
            return
        if not is_chief(self.model):
            return
        for path in self._kept[: -self.max_to_keep]:
            if path != self.best_path:
                path.unlink(missing_ok=True)
                self._kept.remove(path)


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
