"""Stock Keras: the whole job, as guides show it, and as best it can.

An epoch is `eval_freq` steps, since Keras validates, saves and writes
histograms at the end of epochs only.
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
from benchmarks.peers.work import timed

# As `train_cnn.py` has them.
UPDATE_FREQ = 10
HISTOGRAM_FREQ = 500
SLICE = 500


def make(work: Work, data: Mnist) -> Measurement:
    """Returns what measures the job with data as Keras' guides show it."""
    batches = keras_fit.shuffle_batches(data.train, work.batch_size)
    validation = keras_fit.floats(data.validation)
    return lambda: timed(lambda: train(work, data, batches, validation, 1))


def make_tuned(work: Work, data: Mnist) -> Measurement:
    """Returns what measures the job as fast as public options make it."""
    batches = keras_fit.index_batches(data.train, work.batch_size)
    validation = slices(data.validation)
    calls = keras_fit.divisor(work.eval_freq, keras_fit.STEPS_PER_CALL)
    return lambda: timed(lambda: train(work, data, batches, validation, calls))


def slices(images: Images) -> tf.data.Dataset:
    """Returns images in large batches, without autotuning."""
    return (
        tf.data.Dataset.from_tensor_slices(keras_fit.floats(images))
        .batch(SLICE)
        .cache()
        .with_options(keras_fit.untuned())
    )


def train(
    work: Work, data: Mnist, batches: Any, validation: Any, calls: int
) -> float:
    """Does the job once, and returns the test accuracy of the best weights."""
    model = keras_fit.compiled(work, calls)
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
