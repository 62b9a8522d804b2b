"""`fit` ends when its last step ends."""

import statistics
import time

import keras
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.datasets import shuffled_batches
from keras_port.models import build_perceptron
from keras_port.training.checked_labels import checked_labels

FITS = 20
SECONDS = 5.0


def options_of(split: datasets.ImageSplit) -> tf.data.Options:
    return shuffled_batches(split, 100, seed=1).options()


@pytest.mark.fault("B74")
def test_batches_are_made_without_autotuning(
    small_mnist: datasets.Splits,
) -> None:
    assert options_of(small_mnist.train).autotune.enabled is False


@pytest.mark.fault("B74")
def test_what_is_derived_from_them_and_checked_is_too(
    small_mnist: datasets.Splits,
) -> None:
    batches = shuffled_batches(small_mnist.train, 100, seed=1)
    derived = checked_labels(batches.take(5), None, 10)
    assert derived is not batches
    assert derived.options().autotune.enabled is False


# The row asks for times, hence the exception to "times are never asserted".
@pytest.mark.slow
@pytest.mark.fault("B74")
def test_none_of_twenty_fits_stalls(mnist: datasets.Splits) -> None:
    model = build_perceptron()
    model.compile(
        keras.optimizers.SGD(0.5),
        "sparse_categorical_crossentropy",
        steps_per_execution=50,
    )
    batches = shuffled_batches(mnist.train, 100, seed=1)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        model.fit(batches, steps_per_epoch=steps, verbose=0)
        return time.perf_counter() - start

    seconds(100)
    steps = round(SECONDS / seconds(2000) * 2000 / 50) * 50
    times = [seconds(steps) for _ in range(FITS)]
    assert max(times) <= 1.3 * statistics.median(times), times
