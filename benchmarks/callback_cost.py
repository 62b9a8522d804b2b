"""Measures what TensorBoard's curves and the snapshots of a training cost.

Trains the course's CNN on MNIST, batch 100, with `fit`, in turn

- plain: without any of them;
- scalars: with the curves of every step;
- everything: with curves, and all histograms every 100 steps;
- keras: with Keras' own TensorBoard callback, which writes the means of every
  batch and, because it only knows epochs, histograms at the end;
- state: with a snapshot every 100 steps.

Prints the seconds for 100 steps as medians over the rounds, and their
ratios to plain. The time to build the graphs is left out. At the end a long
training with everything shows how the memory grows.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import os
import pathlib
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import keras

from benchmarks import report
from keras_port import callbacks
from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import optimizers

BATCH_SIZE = 100
FREQ = 100
KINDS = ["plain", "scalars", "everything", "keras", "state"]


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_integer(
        "steps", 400, "Steps per measurement.", lower_bound=2 * FREQ
    )
    flags.DEFINE_integer(
        "memory_steps", 2000, "Steps of the long training; 0 for none."
    )
    flags.DEFINE_multi_enum("kind", KINDS, KINDS, "What to train with.")
    report.define_flags(rounds=5)


def callbacks_by_kind(
    split: datasets.ImageSplit,
) -> dict[str, Callable[[pathlib.Path], list[Any]]]:
    """Returns functions that make the callbacks, by kind, in a new folder."""
    return {
        "plain": lambda folder: [],
        "scalars": lambda folder: [callbacks.TensorBoard(folder)],
        "everything": lambda folder: [
            callbacks.TensorBoard(
                folder, histogram_freq=FREQ, data=split[:BATCH_SIZE]
            )
        ],
        "keras": lambda folder: [
            keras.callbacks.TensorBoard(folder, update_freq=1, histogram_freq=1)
        ],
        "state": lambda folder: [
            callbacks.TrainingState(folder, save_freq=FREQ)
        ],
    }


class Clock(keras.callbacks.Callback):
    """Measures a training from the step when all graphs are built to its end.

    Args:
        first_step: Step at whose end the clock starts. By then the first
            histograms and the graph have been made, which happens once.
    """

    def __init__(self, first_step: int) -> None:
        super().__init__()
        self.first_step = first_step
        self.first: tuple[int, float] | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Starts the clock."""
        step = int(self.model.optimizer.iterations)
        if self.first is None and step >= self.first_step:
            self.first = (step, time.perf_counter())

    def seconds_per_100(self) -> float:
        """Returns the seconds for 100 steps until now."""
        assert self.first is not None
        step, started = self.first
        steps = int(self.model.optimizer.iterations) - step
        return 100 * (time.perf_counter() - started) / steps


def train(
    splits: datasets.Splits, more: list[Any], steps: int, batch_size: int
) -> float:
    """Trains a new network and returns the seconds for 100 steps."""
    keras.utils.set_random_seed(1)
    model = models.build_cnn()
    model.compile(
        optimizers.Adam(1e-4),
        losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )
    clock = Clock(FREQ if steps > FREQ else 1)
    model.fit(
        datasets.shuffled_batches(splits.train, batch_size, seed=1),
        steps_per_epoch=steps,
        callbacks=[*more, clock],
        verbose=0,
    )
    # After `fit`, because what is written at its end costs time, too.
    return clock.seconds_per_100()


class Memory(keras.callbacks.Callback):
    """Records the memory of the process every 100 steps, in MiB."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reads the memory from the operating system."""
        if int(self.model.optimizer.iterations) % FREQ == 0:
            self.sizes.append(resident_size())


def resident_size() -> float:
    """Returns the memory that this process has, in MiB; Linux only."""
    text = pathlib.Path("/proc/self/statm").read_text()
    return int(text.split()[1]) * 4096 / 2**20


def measure(
    splits: datasets.Splits,
    *,
    steps: int,
    rounds: int,
    memory_steps: int,
    batch_size: int = BATCH_SIZE,
    names: Sequence[str] = KINDS,
) -> report.Report:
    """Measures the kinds in turn, `rounds` times `steps` steps."""
    kinds = callbacks_by_kind(splits.validation)

    def seconds(make: Callable[[pathlib.Path], list[Any]]) -> float:
        with tempfile.TemporaryDirectory() as folder:
            more = make(pathlib.Path(folder))
            return train(splits, more, steps, batch_size)

    values = report.measure_in_turn(
        {kind: functools.partial(seconds, kinds[kind]) for kind in names},
        rounds,
    )
    table = report.Table(
        "Training of the CNN, batch 100",
        "s for 100 steps",
        values,
        bases=("plain",) if "plain" in names else (),
        digits=2,
    )
    if memory_steps:
        memory = Memory()
        with tempfile.TemporaryDirectory() as folder:
            more = kinds["everything"](pathlib.Path(folder))
            train(splits, [memory, *more], memory_steps, batch_size)
        sizes = ", ".join(f"{size:,.0f}" for size in memory.sizes)
        table.notes.append(f"MiB every {FREQ} steps, with everything: {sizes}")
    return report.Report([table])


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    measure(
        datasets.load_mnist(),
        steps=values.steps,
        rounds=values.rounds,
        memory_steps=values.memory_steps,
        names=values.kind,
    ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
