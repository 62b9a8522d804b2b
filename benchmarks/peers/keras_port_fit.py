"""This package: `fit` of a `GradientModel`, as the examples train."""

import pathlib
import sys
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))

import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
import keras
import run_settings
import step_training
import train_cnn
import train_perceptron

from benchmarks.peers.work import Images
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import timed
from keras_port import datasets

SAVE_FREQ = run_settings.SAVE_FREQ


def make(work: Work, data: Mnist) -> Measurement:
    """Returns what measures one `fit`, from its call to its end."""
    if work.model == "perceptron":
        train_perceptron.use_one_thread_per_operation()
    keras.utils.set_random_seed(work.seed)
    model = build_model(work)
    model.steps_per_execution = step_training.steps_per_call(
        work.steps,
        work.eval_freq,
        SAVE_FREQ,
        most=(
            train_perceptron.STEPS_PER_CALL
            if work.model == "perceptron"
            else step_training.STEPS_PER_CALL
        ),
    )
    split = image_split(data.train, work.seed)

    def fit(steps: int) -> None:
        batches = datasets.shuffled_batches(
            split,
            work.batch_size,
            seed=work.seed,
            start_batch=int(model.optimizer.iterations),
            image_shape=model.input_shape[1:],
        )
        model.fit(batches, steps_per_epoch=steps, verbose=0)

    fit(model.steps_per_execution)
    return lambda: timed(lambda: fit(work.steps))


def build_model(work: Work) -> Any:
    """Returns the network that the scripts train, compiled as theirs."""
    keras.config.set_dtype_policy(train_cnn.PRECISIONS[work.precision])
    if work.model == "cnn":
        return train_cnn.build_model(1e-4)
    return train_perceptron.build_model(0.01)


def image_split(images: Images, seed: int = 1) -> datasets.ImageSplit:
    """Returns the images as the package holds them."""
    return datasets.ImageSplit(images.images, images.labels, seed=seed)


def splits_of(data: Mnist) -> datasets.Splits:
    """Returns all three splits as the package holds them."""
    return datasets.Splits(*(image_split(images) for images in data))
