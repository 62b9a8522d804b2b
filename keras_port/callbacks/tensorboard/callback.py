"""Writes a training for TensorBoard."""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import numbers
import os
import pathlib
import time
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port._support import absolute_path
from keras_port._support import check_integer
from keras_port._support import format_call
from keras_port.callbacks._steps import get_step
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.tensorboard.event_files import make_room
from keras_port.callbacks.tensorboard.open_run import OpenRun
from keras_port.callbacks.tensorboard.runs import check_run_names
from keras_port.callbacks.tensorboard.write_errors import (
    name_directory_in_errors,
)
from keras_port.checkpoints import make_writable_directory
from keras_port.datasets import ImageSplit
from keras_port.training import is_chief


class TensorBoard(EvaluationListener):
    """Writes a training for TensorBoard, every value at its own step.

    `tensorboard --logdir LOG_DIR` then shows

    - Time Series and Scalars: for every step the loss of its own batch, the
      learning rate, and the norm of the gradients; the metrics and the speed
      over the steps since the previous point; the results of every
      `StepEvaluation`, and of the `validation_data` of `fit`, as a separate
      run, over the curves of the training; what the model itself writes by
      `tf.summary` in a layer or in its `train_step`;
    - Histograms and Distributions: weights, gradients and activations by layer;
    - Graphs: the operations of the training step under the names of the layers
      and the scopes `cross_entropy`, `gradients`, `trainer` and `evaluator`,
      and Keras' own graph of the layers;
    - Images, PR Curves and Projector, if `data` holds images: the misclassified
      images, the confusion matrix and the filters of the first convolution;
      precision against recall for every class; the images as points;
    - HParams: the hyper-parameters of this run next to those of others.

    A step is one update of the optimizer, `optimizer.iterations`. If a training
    continues, its curves continue as well: curves of steps later than the
    model's are removed first, so no step appears twice. Files that this
    callback did not write stay unchanged. At least once per second everything
    is written to disk. After a training that raised an exception, the rest is
    on disk once this callback is used again or the process ends; for a
    `GradientModel`, at once.

    Args:
        log_dir: Directory of this run. The curves are in `train` and
            `validation` inside it; a `StepEvaluation` with another prefix has
            a directory of that name.
        update_freq: Steps between two points of the curves of the training.
            Defaults to 1.
        histogram_freq: Steps between two histograms, 0 for none. With
            `steps_per_execution`, histograms are written at the first chance
            at or after every multiple. Defaults to 0.
        write_graph: Whether to write the graphs. Defaults to `True`.
        data: An `ImageSplit` for the pages with pictures; its first 100 images
            are the batch whose gradients and activations the histograms show.
            Or arrays `(x, y)` of one batch, for histograms only. Defaults to
            `None`: histograms of weights, no pictures.
        hparams: Hyper-parameters of this run by name: numbers, also those of
            NumPy, booleans and text. `None`, lists and dictionaries are shown
            as text. Defaults to `None`: no page of them.
        profile_batch: First and last step of a profile, or `None` for none.
            Defaults to `None`.
        tags: Names of curves that replace the names of the results, as in
            `{"loss": "cross_entropy"}`. Defaults to `None`.
        overwrite: Whether a model that starts at step 0 may remove the curves
            of another run. Defaults to `False`.
        clock: Function that returns seconds. Defaults to `time.monotonic`.

    Raises:
        ValueError: For an invalid argument; and, before the first step, if the
            directory holds another run and the model starts at step 0, or if
            two evaluations, or one and the training, would share a directory.
        OSError: Before the first step, if the directory cannot be written to.

    Example:

    >>> board = TensorBoard("logs", histogram_freq=2, data=splits.validation)
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[board, StepEvaluation(splits.validation, eval_freq=2)],
    ...     verbose=0,
    ... )
    >>> import pathlib
    >>> sorted(path.name for path in pathlib.Path("logs").iterdir())
    ['train', 'validation']
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        update_freq: int = 1,
        histogram_freq: int = 0,
        write_graph: bool = True,
        data: Any = None,
        hparams: Mapping[str, Any] | None = None,
        profile_batch: tuple[int, int] | None = None,
        tags: Mapping[str, str] | None = None,
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        check_profile(profile_batch)
        check_data(data)
        self.log_dir = pathlib.Path(log_dir)
        self.update_freq = check_integer(
            "update_freq", update_freq, note=", in steps"
        )
        self.histogram_freq = check_integer(
            "histogram_freq", histogram_freq, minimum=0, note=", in steps"
        )
        self.write_graph = write_graph
        self.data = data
        self.hparams = convert_hparams(hparams)
        self.profile_batch = profile_batch
        self.tags = dict(tags or {})
        self.overwrite = overwrite
        self.clock = clock
        # Open from the first step on, when a resumed model has been restored.
        self._run: OpenRun | None = None
        # What is known before the run is open: the names of the results, and
        # the restored state of the curves.
        self._names: list[str] = []
        self._means: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return format_call(self, "log_dir", "update_freq", "histogram_freq")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Checks the directory before the first step."""
        # Without `super()`, which would require a `StepEvaluation`: there are
        # curves of the training without one.
        if is_chief(self.model):
            make_writable_directory(self.log_dir)
        self._close()
        self._means = None

    def on_evaluation_names(self, names: list[str]) -> None:
        """Records the names of the results."""
        check_run_names(self.model, self.log_dir)
        self._names = names

    @name_directory_in_errors
    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Opens the run at the first step, and prepares for the next one."""
        if is_chief(self.model):
            self._get_run().begin_call()

    @name_directory_in_errors
    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes curves and histograms that are due."""
        if is_chief(self.model):
            self._get_run().end_call(logs or {})

    @name_directory_in_errors
    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Writes the results of an evaluation to a run of their own."""
        if not is_chief(self.model):
            return
        # The user may evaluate after the training has ended.
        was_open = self._run is not None
        self._get_run().write_results(step, logs)
        if not was_open:
            self._close()

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Follows the metrics, which have been reset."""
        if self._run is not None:
            self._run.scalars.begin_epoch()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the metrics before `fit` uses them for validation."""
        if self._run is not None:
            self._run.scalars.end_epoch()

    @name_directory_in_errors
    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the results of the validation by `fit`."""
        if self._run is not None:
            self._run.write_validation(get_step(self.model), logs or {})

    @name_directory_in_errors
    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes everything that is known to disk."""
        if self._run is not None:
            # An epoch that was stopped goes on in a resumed training.
            if not self.model.stop_training:
                self._run.scalars.end_epoch()
            self._run.flush()

    @name_directory_in_errors
    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the points of the projector, and closes the files."""
        if self._run is not None:
            self._run.write_graphs()
            self._run.write_projector()
        self._close()

    def on_train_interrupted(self) -> None:
        """Writes everything to disk after `fit` has raised an exception.

        A `GradientModel` calls this. In other models, Keras calls nothing: the
        steps before a step that failed are written at once, others within a
        second or when this callback is used again.
        """
        # On a full disk the exception of `fit` says so already.
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._close()

    @property
    def log_dir(self) -> pathlib.Path:
        """Directory of this run."""
        return self._log_dir

    @log_dir.setter
    def log_dir(self, directory: str | os.PathLike[str]) -> None:
        # KerasTuner gives every trial a directory by setting this to a string.
        self._log_dir = absolute_path("log_dir", directory)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the open files, which cannot be copied."""
        return {**super().__getstate__(), "_run": None}

    @name_directory_in_errors
    def get_state(self) -> dict[str, Any]:
        """Writes everything to disk, and returns the newest points.

        A resumed training removes curves of later steps, but adds none of
        earlier steps.
        """
        if self._run is not None:
            self._run.write_graphs()
            self._run.flush()
            self._means = self._run.scalars.get_state()
        return {"step": get_step(self.model), "means": self._means}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        self._means = state["means"]

    def _get_run(self) -> OpenRun:
        """Returns the run; the first call opens it."""
        if self._run is None:
            self._run = self._open()
        return self._run

    def _open(self) -> OpenRun:
        is_new = make_room(
            self.log_dir, get_step(self.model), overwrite=self.overwrite
        )
        run = OpenRun(
            self.model,
            self.log_dir,
            data=self.data,
            update_freq=self.update_freq,
            histogram_freq=self.histogram_freq,
            # Once for a run that several calls of `fit` continue.
            write_graph=self.write_graph and is_new,
            profile_batch=self.profile_batch,
            tags=self.tags,
            clock=self.clock,
        )
        if self._means is not None:
            run.scalars.set_state(self._means)
            self._means = None
        if self.hparams and is_new:
            run.write_hyperparameters(self.hparams, self._names)
        return run

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
        self._run = None


def check_profile(profile_batch: Any) -> None:
    """Raises `ValueError` unless `profile_batch` holds two steps in order."""
    if profile_batch is None:
        return
    steps = profile_batch if isinstance(profile_batch, tuple) else ()
    are_integers = all(
        isinstance(step, numbers.Integral) and not isinstance(step, bool)
        for step in steps
    )
    if len(steps) != 2 or not are_integers or not 1 <= steps[0] <= steps[1]:
        raise ValueError(
            "`profile_batch` must be the first and the last step of the "
            "profile, counted from 1, as in (10, 20). "
            f"Received: profile_batch={profile_batch!r}"
        )


def check_data(data: Any) -> None:
    """Raises `ValueError` unless the data is a split or one batch."""
    if data is None or isinstance(data, ImageSplit):
        return
    if not isinstance(data, tuple) or len(data) != 2:
        raise ValueError(
            "`data` must be an ImageSplit or arrays (x, y). "
            f"Received: {type(data).__name__}"
        )


def convert_hparams(
    values: Mapping[str, Any] | None,
) -> dict[str, bool | int | float | str]:
    """Returns hyper-parameters as the page can show them.

    Raises:
        ValueError: If a name is not text, or a value cannot be shown.
    """
    converted = {}
    for name, value in (values or {}).items():
        if not isinstance(name, str):
            raise ValueError(
                "`hparams` must have text for names. "
                f"Received: {name!r} of type {type(name).__name__}"
            )
        plain = get_plain_value(value)
        if isinstance(plain, list | tuple | dict) or plain is None:
            plain = str(plain)
        if not isinstance(plain, bool | int | float | str):
            raise ValueError(
                "`hparams` must be numbers, booleans, text, None, or lists or "
                "dictionaries of them, by name. Convert others, as in "
                f"`str(layer)`. Received: {name}={value!r} of type "
                f"{type(value).__name__}"
            )
        converted[name] = plain
    return converted


def get_plain_value(value: Any) -> Any:
    """Returns a value with the numbers and lists of Python, not of NumPy."""
    if hasattr(value, "numpy"):  # A tensor or a variable.
        value = value.numpy()
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: get_plain_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(get_plain_value, value))
    return value
