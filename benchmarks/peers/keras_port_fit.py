"""This package: `fit` of a `GradientModel`, as the examples train."""

import gc
from typing import Any

import keras

from benchmarks.peers.keras_fit import limit_threads
from benchmarks.peers.keras_fit import make_dense_layers
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
    return make_fit(work, data)


def make_compiled(work: Work, data: Mnist) -> Measurement:
    """Returns the same with `jit_compile=True` and images as bytes."""
    return make_fit(work, data, jit_compile=True, scale=False)


def make_fit(
    work: Work,
    data: Mnist,
    *,
    jit_compile: bool = False,
    scale: bool = True,
) -> Measurement:
    """Returns a function that measures one `fit`."""
    limit_threads(work)
    keras.utils.set_random_seed(work.seed)
    model = build_model(work, jit_compile=jit_compile)
    model.steps_per_execution = get_steps_per_execution(
        work.steps,
        work.eval_freq,
        SAVE_FREQ,
        limit=10 if work.model == "cnn" else 50,
    )
    batches = datasets.shuffled_batches(
        image_split(data.train, work.seed),
        work.batch_size,
        seed=work.seed,
        image_shape=model.input_shape[1:],
        scale=scale,
    )

    def fit(steps: int) -> None:
        model.fit(batches, steps_per_epoch=steps, verbose=0)

    fit(model.steps_per_execution)
    return lambda: time_call(lambda: fit(work.steps))


def build_model(work: Work, **kwargs: Any) -> Any:
    """Builds the network and compiles it as the scripts do.

    Args:
        work: What to train.
        **kwargs: Further arguments of `compile`.
    """
    keras.config.set_dtype_policy(PRECISIONS[work.precision])
    if work.model == "cnn":
        model = models.build_cnn()
        model.compile(
            optimizer=optimizers.Adam(1e-4),
            loss=losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
            **kwargs,
        )
        return model
    if work.model == "mlp":
        inputs = keras.Input((784,))
        model = models.ImageModel(
            inputs, keras.Sequential(make_dense_layers())(inputs)
        )
        model.compile(
            optimizer=optimizers.Adam(work.recipe.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            **kwargs,
        )
        return model
    model = models.build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(work.recipe.learning_rate),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
        **kwargs,
    )
    return model


def image_split(images: Images, seed: int = 1) -> datasets.ImageSplit:
    """Returns the images as the package holds them."""
    return datasets.ImageSplit(images.images, images.labels, seed=seed)


def splits_of(data: Mnist) -> datasets.Splits:
    """Returns all three splits as the package holds them."""
    return datasets.Splits(*(image_split(images) for images in data))
