"""This package: the whole job, by the function that `train_cnn.py` calls."""

import contextlib
import io
import pathlib
import sys
import tempfile
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


def make(work: Work, data: Mnist) -> Measurement:
    """Returns what measures a job, from an unbuilt model to its test."""
    splits = keras_port_fit.splits_of(data)

    def job() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(work, splits, pathlib.Path(folder))

    return lambda: timed(job)


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
