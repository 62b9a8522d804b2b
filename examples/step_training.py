"""One training by the step, to its end and its results."""

from collections.abc import Sequence
import dataclasses
import math
import time

from best_model import accuracy
import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
import keras
from run_files import LOG_FOLDER
from run_files import MODEL_FILE
from run_files import RESULTS_FILE
from run_files import STATE_FOLDER
from run_files import write_json
from run_folder import Results
from run_settings import Settings
from run_settings import dataset_name
from run_settings import hyperparameters

from keras_port import callbacks
from keras_port import datasets
from keras_port import training

# Images of the validation split that the dashboard's pictures are made of.
PICTURED = 200
# Half a second of the CNN.
STEPS_PER_CALL = 10
# Steps between points of the curves, and between histograms.
UPDATE_FREQ = 10
HISTOGRAM_FREQ = 500


def train_by_step(
    model: training.GradientModel,
    splits: datasets.Splits,
    settings: Settings,
    *,
    more_callbacks: Sequence[keras.callbacks.Callback] = (),
    max_steps_per_call: int = STEPS_PER_CALL,
    max_shift: int = 0,
) -> Results:
    """Trains a compiled model to its end and leaves the results in `workdir`.

    Prints the line that opens the curves in TensorBoard. On several machines
    each calls this, and the first prints and writes.

    Args:
        model: A compiled model.
        splits: Training, validation and test images.
        settings: Of the run.
        more_callbacks: Further callbacks for `fit`.
        max_steps_per_call: Steps that Keras runs in one call, at the most.
        max_shift: Pixels by which training images are moved, at the most.

    Returns:
        The results, those of the best weights, which the model then has.
    """
    state = callbacks.TrainingState(
        settings.workdir / STATE_FOLDER, save_freq=settings.save_freq
    )
    stopping = callbacks.StepEarlyStopping(patience=settings.patience)
    terminate = callbacks.TerminateOnSignal()
    speed = Speed(settings.batch_size)
    if training.is_chief(model):
        announce(settings, state.step)
    steps = settings.max_steps - state.step
    model.steps_per_execution = steps_per_call(
        steps, settings.eval_freq, settings.save_freq, most=max_steps_per_call
    )
    started = time.perf_counter()
    model.fit(
        datasets.shuffled_batches(
            splits.train,
            settings.batch_size,
            seed=settings.seed,
            start_batch=state.batches_seen,
            image_shape=model.input_shape[1:],
            max_shift=max_shift,
        ),
        steps_per_epoch=steps,
        callbacks=[
            *evaluating_callbacks(splits, settings, stopping),
            *(state, terminate, speed),
            dashboard(splits, settings),
            *more_callbacks,
        ],
        verbose=0,
    )
    seconds = time.perf_counter() - started
    results = Results(
        steps=int(model.optimizer.iterations.numpy()),
        best_step=stopping.best_step or 0,
        # Measured when the weights were those that the model has again.
        validation_accuracy=(
            accuracy(model, splits.validation)
            if stopping.best is None
            else stopping.best
        ),
        test_accuracy=accuracy(model, splits.test),
        seconds=round(seconds, 3),
        examples_per_second=round(speed.examples_per_second, 1),
        dataset=dataset_name(settings),
        ended_by=terminate.received
        or ("early stopping" if stopping.stopped_step else "max_steps"),
    )
    if training.is_chief(model):
        content = dataclasses.asdict(results)
        write_json(settings.workdir / RESULTS_FILE, content)
    return results


def announce(settings: Settings, step: int) -> None:
    """Prints where the training begins, and how to see its curves."""
    if step:
        print(f"Resuming {settings.workdir} from step {step:,}.")
    print(f"Curves: tensorboard --logdir {settings.workdir / LOG_FOLDER}")


def evaluating_callbacks(
    splits: datasets.Splits,
    settings: Settings,
    stopping: callbacks.StepEarlyStopping,
) -> list[keras.callbacks.Callback]:
    """Returns what evaluates, and what follows from it."""
    return [
        callbacks.StepEvaluation(
            splits.validation, eval_freq=settings.eval_freq
        ),
        stopping,
        callbacks.StepCheckpoint(settings.workdir / MODEL_FILE),
        callbacks.StepProgress(
            batch_size=settings.batch_size, patience=settings.patience
        ),
    ]


def dashboard(
    splits: datasets.Splits, settings: Settings
) -> callbacks.TensorBoard:
    """Returns what writes the curves, histograms and pictures."""
    return callbacks.TensorBoard(
        settings.workdir / LOG_FOLDER,
        update_freq=UPDATE_FREQ,
        histogram_freq=HISTOGRAM_FREQ,
        data=splits.validation[:PICTURED],
        hparams=hyperparameters(settings),
        # The folder belongs to this run, as `run.json` says.
        overwrite=True,
    )


class Speed(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures training examples per second since the first step."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.examples_per_second = 0.0
        self._first: tuple[int, float] | None = None

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Starts the clock when the first call has built the graph."""
        if self._first is None:
            self._first = self._now()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stops the clock."""
        if self._first is not None:
            step, seconds = self._now()
            examples = (step - self._first[0]) * self.batch_size
            if examples:
                self.examples_per_second = examples / (seconds - self._first[1])

    def _now(self) -> tuple[int, float]:
        return int(self.model.optimizer.iterations.numpy()), time.perf_counter()


def steps_per_call(*distances: int, most: int = STEPS_PER_CALL) -> int:
    """Returns how many steps one call can run without missing anything.

    Keras always runs whole calls: with 20 steps per call, 50 steps become 60.
    So the number divides all of these.

    Args:
        *distances: Steps to run, and steps between two things that happen.
        most: The largest number; Ctrl-C has to wait for so many steps.
    """
    common = math.gcd(*distances)
    return max(n for n in range(1, most + 1) if common % n == 0)
