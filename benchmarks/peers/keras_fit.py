"""Stock Keras: `fit` on arrays, and `fit` with its fastest public options."""

import contextlib
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.peers.work import HIDDEN
from benchmarks.peers.work import Images
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# More steps per call are not faster (measured).
STEPS_PER_CALL = 50


def build_model(work: Work) -> Any:
    """Builds the network of the course from Keras' own layers."""
    keras.utils.set_random_seed(work.seed)
    keras.config.set_dtype_policy(POLICIES[work.precision])
    layers = keras.layers
    if work.model == "perceptron":
        zeros = layers.Dense(
            10,
            activation="softmax",
            kernel_initializer="zeros",
            dtype="float32",
        )
        return keras.Sequential(
            [keras.Input((28, 28, 1)), layers.Flatten(), zeros]
        )
    if work.model == "mlp":
        return keras.Sequential(
            [keras.Input((28, 28, 1)), layers.Flatten(), *make_dense_layers()]
        )
    normal = keras.initializers.TruncatedNormal

    def convolution(channels: int) -> keras.layers.Layer:
        return layers.Conv2D(
            channels,
            5,
            padding="same",
            activation="relu",
            kernel_initializer=normal(stddev=0.1),
        )

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            convolution(32),
            layers.MaxPooling2D(2),
            convolution(64),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(
                1024, activation="relu", kernel_initializer=normal(stddev=0.1)
            ),
            layers.Dropout(0.5),
            layers.Dense(10, kernel_initializer=normal(stddev=0.1)),
            # In float32, as Keras' guide to mixed precision says.
            layers.Activation("softmax", dtype="float32"),
        ]
    )


def make_dense_layers() -> list[keras.layers.Layer]:
    """Returns the layers of the network of two hidden layers."""
    return [
        *(keras.layers.Dense(HIDDEN, activation="relu") for _ in range(2)),
        keras.layers.Dense(10),
        keras.layers.Activation("softmax", dtype="float32"),
    ]


def build_optimizer(work: Work) -> Any:
    """Returns the optimizer of the recipe."""
    if work.recipe.optimizer == "sgd":
        return keras.optimizers.SGD(work.recipe.learning_rate)
    return keras.optimizers.Adam(work.recipe.learning_rate, epsilon=1e-8)


def build_compiled_model(work: Work, steps_per_call: int = 1) -> Any:
    """Builds the network and compiles it."""
    model = build_model(work)
    model.compile(
        build_optimizer(work),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_call,
    )
    return model


def floats(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as float32 (n, 28, 28, 1) in [0, 1], and labels."""
    x = images.images[..., None].astype(np.float32) / 255
    return x, images.labels.astype(np.int32)


def make_arrays(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures `fit` on arrays, as in tutorials."""
    model = build_compiled_model(work)
    x, y = floats(data.train)
    steps = min(work.steps, len(x) // work.batch_size)
    epochs = math.ceil(work.steps / steps)
    count = steps * work.batch_size

    def fit(epochs: int) -> None:
        model.fit(
            x[:count],
            y[:count],
            batch_size=work.batch_size,
            epochs=epochs,
            verbose=0,
        )

    few = work.batch_size
    model.fit(x[:few], y[:few], batch_size=few, verbose=0)
    # Whole epochs may have more steps than requested.
    scale = work.steps / (steps * epochs)
    return lambda: scale * time_call(lambda: fit(epochs))


def make_tuned(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures `fit` on batches by index."""
    limit_threads(work)
    calls = find_divisor(work.steps, STEPS_PER_CALL)
    model = build_compiled_model(work, calls)
    batches = index_batches(data.train, work.batch_size)

    def fit(steps: int) -> None:
        model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)

    fit(calls)
    return lambda: time_call(lambda: fit(work.steps))


def limit_threads(work: Work) -> None:
    """Sets the threads of an operation, unless TensorFlow has started."""
    if work.recipe.threads is not None:
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(
                work.recipe.threads
            )


def find_divisor(steps: int, most: int) -> int:
    """Returns the largest divisor of `steps` that is at most `most`."""
    return max(n for n in range(1, most + 1) if steps % n == 0)


def index_batches(images: Images, batch_size: int) -> tf.data.Dataset:
    """Returns endless shuffled batches from bytes in memory.

    Without autotuning, whose threads can make the end of `fit` wait for
    seconds.
    """
    x = tf.constant(images.images[..., None])
    y = tf.constant(images.labels, tf.int32)
    count = len(images.labels)

    def batch(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.cast(tf.gather(x, chosen), tf.float32) / 255
        return pixels, tf.gather(y, chosen)

    return (
        tf.data.Dataset.counter()
        .map(lambda _: tf.random.shuffle(tf.range(count)))
        .rebatch(batch_size, drop_remainder=True)
        .map(batch)
        .prefetch(2)
        .with_options(make_untuned_options())
    )


def shuffle_batches(images: Images, batch_size: int) -> tf.data.Dataset:
    """Returns endless batches from `shuffle` and `batch`, as guides show."""
    x, y = floats(images)
    return (
        tf.data.Dataset.from_tensor_slices((x, y))
        .shuffle(len(x))
        .repeat()
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
        .with_options(make_untuned_options())
    )


def make_untuned_options() -> tf.data.Options:
    """Returns dataset options that turn autotuning off."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
