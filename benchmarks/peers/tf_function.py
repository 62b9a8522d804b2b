"""A bare `tf.function` loop over Keras' layers and optimizer, without `fit`."""

import keras
import tensorflow as tf

from benchmarks.peers import keras_fit
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures the loop."""
    model = keras_fit.build_model(work)
    optimizer = keras_fit.build_optimizer(work)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy()
    batches = iter(keras_fit.index_batches(data.train, work.batch_size))

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)

    def loop(steps: int) -> None:
        for _ in range(steps):
            step(*next(batches))
        # Reading a value waits for the last step.
        model.trainable_variables[-1].numpy()

    loop(min(work.steps, 5))
    return lambda: time_call(lambda: loop(work.steps))
