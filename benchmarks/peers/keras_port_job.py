"""This package: the whole job, by the function that `train_cnn.py` calls."""

import contextlib
import dataclasses
import io
import pathlib
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
import keras
import run_folder
import run_settings
import step_training

from benchmarks.peers import keras_port_fit
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import timed

# By then each callback has done what it does, and has built its graphs.
WARM_UP_STEPS = step_training.HISTOGRAM_FREQ


def make(work: Work, data: Mnist) -> Measurement:
    """Returns what measures a job, from an unbuilt model to its test."""
    splits = keras_port_fit.splits_of(data)

    def job() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(work, splits, pathlib.Path(folder))

    return lambda: timed(job)


def make_steady(work: Work, data: Mnist) -> Measurement:
    """Returns what measures the steps after all graphs have been built."""
    splits = keras_port_fit.splits_of(data)
    longer = dataclasses.replace(work, steps=WARM_UP_STEPS + work.steps)

    def seconds() -> float:
        clock = Clock(WARM_UP_STEPS)
        with tempfile.TemporaryDirectory() as folder:
            train(longer, splits, pathlib.Path(folder), clock)
        return clock.seconds

    return seconds


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures from the end of one step to that of the newest one.

    Args:
        first_step: Step at whose end the clock starts.
    """

    def __init__(self, first_step: int) -> None:
        super().__init__()
        self.first_step = first_step
        self.seconds = 0.0
        self._started: float | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Starts the clock, or reads it; all else of the step is done."""
        now = time.perf_counter()
        if self._started is not None:
            self.seconds = now - self._started
        elif int(self.model.optimizer.iterations) >= self.first_step:
            self._started = now


def train(
    work: Work,
    splits: Any,
    folder: pathlib.Path,
    *more: keras.callbacks.Callback,
) -> run_folder.Results:
    """Trains for the steps of the work, whatever the validations say."""
    keras.utils.set_random_seed(work.seed)
    settings = run_settings.Settings(
        workdir=folder,
        data_dir=None,
        batch_size=work.batch_size,
        max_steps=work.steps,
        eval_freq=work.eval_freq,
        patience=work.steps,
        learning_rate=1e-4,
        seed=work.seed,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return step_training.train_by_step(
            keras_port_fit.build_model(work),
            splits,
            settings,
            more_callbacks=more,
        )
