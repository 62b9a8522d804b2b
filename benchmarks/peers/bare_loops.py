"""Loops over `build_cnn` without `fit`: a plain loop, and our two steps."""

from collections.abc import Callable

import keras
import tensorflow as tf

from benchmarks.peers import keras_port_fit
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call
from keras_port import datasets
from keras_port import losses
from keras_port import models

Step = Callable[[tf.Tensor, tf.Tensor], None]


def make_bare(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures a plain `GradientTape` loop."""
    keras.utils.set_random_seed(work.seed)
    model = models.build_cnn()
    optimizer = keras.optimizers.Adam(1e-4, epsilon=1e-8)
    loss = losses.CourseCrossEntropy("sum")
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    return make_measurement(step, model, work, data)


def make_steps(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures a loop of the two named steps."""
    keras.utils.set_random_seed(work.seed)
    model = keras_port_fit.build_model(work)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        model.apply_gradients(model.compute_gradients(x, y).grads_and_vars)

    return make_measurement(step, model, work, data)


def make_measurement(
    step: Step, model: keras.Model, work: Work, data: Mnist
) -> Measurement:
    """Returns a function that measures a step on batches of the package."""
    batches = iter(
        datasets.shuffled_batches(
            keras_port_fit.image_split(data.train, work.seed),
            work.batch_size,
            seed=work.seed,
            image_shape=model.input_shape[1:],
        )
    )

    def loop(steps: int) -> None:
        for _ in range(steps):
            step(*next(batches))
        # Reading a value waits for the last step.
        model.trainable_variables[-1].numpy()

    loop(min(work.steps, 5))
    return lambda: time_call(lambda: loop(work.steps))
