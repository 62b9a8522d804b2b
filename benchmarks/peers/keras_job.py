"""Stock Keras: the whole job, as guides show it and as fast as it gets.

An epoch is `eval_freq` steps, because Keras validates, saves and writes
histograms only at the end of an epoch.
"""

import pathlib
import tempfile
from typing import Any

import keras
import tensorflow as tf

from benchmarks.peers import keras_fit
from benchmarks.peers.work import Images
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call

# The values of `train_cnn.py`.
UPDATE_FREQ = 10
HISTOGRAM_FREQ = 500
SLICE = 500


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures the job as Keras' guides show it."""
    batches = keras_fit.shuffle_batches(data.train, work.batch_size)
    validation = keras_fit.floats(data.validation)
    return lambda: time_call(lambda: train(work, data, batches, validation, 1))


def make_tuned(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures the job with the fastest options."""
    batches = keras_fit.index_batches(data.train, work.batch_size)
    validation = slices(data.validation)
    calls = keras_fit.find_divisor(work.eval_freq, keras_fit.STEPS_PER_CALL)
    return lambda: time_call(
        lambda: train(work, data, batches, validation, calls)
    )


def slices(images: Images) -> tf.data.Dataset:
    """Returns images in large batches, without autotuning."""
    return (
        tf.data.Dataset.from_tensor_slices(keras_fit.floats(images))
        .batch(SLICE)
        .cache()
        .with_options(keras_fit.make_untuned_options())
    )


def train(
    work: Work, data: Mnist, batches: Any, validation: Any, calls: int
) -> float:
    """Runs the job once and returns the test accuracy of the best weights."""
    model = keras_fit.build_compiled_model(work, calls)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        best = folder / "model.keras"
        model.fit(
            batches,
            steps_per_epoch=work.eval_freq,
            epochs=work.steps // work.eval_freq,
            validation_data=validation,
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.ModelCheckpoint(
                    best,
                    monitor="val_accuracy",
                    mode="max",
                    save_best_only=True,
                ),
                keras.callbacks.TensorBoard(
                    folder / "logs",
                    update_freq=UPDATE_FREQ,
                    histogram_freq=max(1, HISTOGRAM_FREQ // work.eval_freq),
                ),
            ],
        )
        model = keras.saving.load_model(best)
    _, accuracy = model.evaluate(slices(data.test), verbose=0)
    return float(accuracy)
