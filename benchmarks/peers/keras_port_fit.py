"""This package: `fit` of a `GradientModel`, as the examples train."""

import contextlib
import gc
from typing import Any

import keras
import tensorflow as tf

from benchmarks.peers.work import Images
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call
from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from keras_port.runs import get_steps_per_execution

# The scripts in examples/ do so after their imports.
gc.freeze()

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# Steps between the snapshots of the scripts.
SAVE_FREQ = 1000


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures one `fit`, from its call to its end."""
    if work.model == "perceptron":
        # As train_perceptron.py does, unless TensorFlow has started.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(work.seed)
    model = build_model(work)
    model.steps_per_execution = get_steps_per_execution(
        work.steps,
        work.eval_freq,
        SAVE_FREQ,
        limit=50 if work.model == "perceptron" else 10,
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
    return lambda: time_call(lambda: fit(work.steps))


def build_model(work: Work) -> Any:
    """Builds the network of the scripts and compiles it like them."""
    keras.config.set_dtype_policy(PRECISIONS[work.precision])
    if work.model == "cnn":
        model = models.build_cnn()
        model.compile(
            optimizer=optimizers.Adam(1e-4),
            loss=losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
        )
        return model
    model = models.build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(0.01),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def image_split(images: Images, seed: int = 1) -> datasets.ImageSplit:
    """Returns the images as the package holds them."""
    return datasets.ImageSplit(images.images, images.labels, seed=seed)


def splits_of(data: Mnist) -> datasets.Splits:
    """Returns all three splits as the package holds them."""
    return datasets.Splits(*(image_split(images) for images in data))
