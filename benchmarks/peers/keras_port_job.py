"""This package: the whole job of `train_cnn.py`, with its callbacks."""

from collections.abc import Sequence
import dataclasses
import io
import pathlib
import queue
import tempfile
import threading
from typing import Any

import keras

from benchmarks.peers import keras_port_fit
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call
from keras_port import callbacks
from keras_port import datasets
from keras_port import runs

HISTOGRAM_FREQ = 500
# By then every callback has run and traced its graphs.
WARM_UP_STEPS = HISTOGRAM_FREQ
# More steps than any measurement takes.
MEASUREMENTS = 1000


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures a job, from building the model on."""
    splits = keras_port_fit.splits_of(data)

    def job() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(work, splits, pathlib.Path(folder))

    return lambda: time_call(job)


def make_steady(work: Work, data: Mnist) -> "SteadyTraining":
    """Returns a function that measures the next steps of a running training."""
    return SteadyTraining(work, data)


class SteadyTraining:
    """A whole training that waits at the end of every measurement.

    So a measurement includes what a long training does in that many steps, but
    not the building of the graphs, which happens in the first ones.

    Args:
        work: Its `steps` are those of one measurement.
        data: The images.
    """

    def __init__(self, work: Work, data: Mnist) -> None:
        self._turns = Turns(WARM_UP_STEPS, work.steps)
        longest = WARM_UP_STEPS + MEASUREMENTS * work.steps
        arguments = (dataclasses.replace(work, steps=longest), data)
        # Ends with the process.
        self._thread = threading.Thread(
            target=self._train, args=arguments, daemon=True
        )
        self._thread.start()
        self._turns.wait()

    def __call__(self) -> float:
        """Returns the seconds of the next steps."""
        return time_call(self._turns.go_on)

    def close(self) -> None:
        """Ends the training."""
        self._turns.end()
        self._thread.join()

    def _train(self, work: Work, data: Mnist) -> None:
        splits = keras_port_fit.splits_of(data)
        with tempfile.TemporaryDirectory() as folder:
            train(work, splits, pathlib.Path(folder), self._turns)
        self._turns.end()


class Turns(keras.callbacks.Callback):
    """Pauses a training at the end of every turn until it may continue.

    Args:
        first_step: Step at whose end the training pauses first.
        steps: Steps of a turn.
    """

    def __init__(self, first_step: int, steps: int) -> None:
        super().__init__()
        self.next_stop = first_step
        self.steps = steps
        self._may_go_on: queue.Queue[bool] = queue.Queue()
        self._is_held: queue.Queue[bool] = queue.Queue()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Pauses at the end of a turn, after everything else of the step."""
        if int(self.model.optimizer.iterations) >= self.next_stop:
            self.next_stop += self.steps
            self._is_held.put(True)
            self.model.stop_training = not self._may_go_on.get()

    def wait(self) -> None:
        """Waits until the training pauses."""
        if not self._is_held.get():
            raise RuntimeError("The training has ended.")

    def go_on(self) -> None:
        """Lets the training run its next turn and waits for its end."""
        self._may_go_on.put(True)
        self.wait()

    def end(self) -> None:
        """Lets the training end, or notes that it has ended."""
        self._may_go_on.put(False)
        self._is_held.put(False)


def train(
    work: Work,
    splits: datasets.Splits,
    folder: pathlib.Path,
    *more: keras.callbacks.Callback,
    max_steps_per_execution: int = 10,
    after_progress: Sequence[keras.callbacks.Callback] = (),
) -> runs.Results:
    """Trains for the steps of the work, without early stopping.

    Args:
        work: What to train.
        splits: The images.
        folder: Directory of the run.
        *more: Further callbacks, called last.
        max_steps_per_execution: Steps in one call.
        after_progress: Callbacks that are called when the progress is shown.
    """
    keras.utils.set_random_seed(work.seed)
    run = runs.Run(folder, settings={"seed": work.seed}, max_steps=work.steps)
    model = keras_port_fit.build_model(work)
    run.fit(
        model,
        lambda start_batch: datasets.shuffled_batches(
            splits.train,
            work.batch_size,
            seed=work.seed,
            start_batch=start_batch,
            image_shape=model.input_shape[1:],
        ),
        callbacks=[
            callbacks.StepEvaluation(
                splits.validation, eval_freq=work.eval_freq
            ),
            callbacks.StepEarlyStopping(patience=work.steps),
            callbacks.StepCheckpoint(run.model_path),
            callbacks.StepProgress(
                batch_size=work.batch_size,
                patience=work.steps,
                stream=io.StringIO(),
            ),
            *after_progress,
            callbacks.TensorBoard(
                run.log_dir,
                update_freq=10,
                histogram_freq=HISTOGRAM_FREQ,
                data=splits.validation[:200],
                hparams={"batch_size": work.batch_size, "seed": work.seed},
                overwrite=True,
            ),
            *more,
        ],
        max_steps_per_execution=max_steps_per_execution,
    )
    return run.finish(model, validation=splits.validation, test=splits.test)
