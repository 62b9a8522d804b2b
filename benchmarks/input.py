"""Measures how fast the batches alone are, without any training.

Reads batches of 100 MNIST images as floats, in a new order every epoch, in turn
with

- keras_port: `shuffled_batches`;
- mapped: the same from a mapped file, with `--mmap`. The file is new and the
  operating system still holds it in memory, so no disk is measured;
- next_batch: `ImageSplit.next_batch`, the loop of TensorFlow 1;
- tf_data: `tf.data` with `shuffle` and `batch` from floats in memory.

`--copies=10` makes the data ten times as large, from the same images.
"""

from collections.abc import Callable
import functools
import itertools
import os
import pathlib
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import numpy as np

from benchmarks import report
from benchmarks.peers import keras_fit
from benchmarks.peers import work as peers_work
from benchmarks.peers.work import Images
from benchmarks.peers.work import time_call
from keras_port import datasets


def define_flags() -> None:
    """Defines the flags of this script."""
    report.define_flags(rounds=5)
    flags.DEFINE_integer("batch_size", 100, "Examples.", lower_bound=1)
    flags.DEFINE_integer("steps", 2000, "Batches per measurement.")
    flags.DEFINE_integer("copies", 1, "Of the 55,000 images.", lower_bound=1)
    flags.DEFINE_bool("mmap", False, "Adds batches from a mapped file.")


def make_samplers(
    images: Images, size: int, folder: pathlib.Path | None = None
) -> dict[str, Callable[[], object]]:
    """Returns functions that make one batch; `mapped` needs a folder."""
    split = datasets.ImageSplit(*images)
    ours = iter(datasets.shuffled_batches(split, size, seed=1))
    stock = iter(keras_fit.shuffle_batches(images, size))
    kinds = {
        "keras_port": functools.partial(next, ours),
        "next_batch": functools.partial(split.next_batch, size),
        "tf_data": functools.partial(next, stock),
    }
    if folder is not None:
        mapped = write_mapped_split(images, folder)
        batches = iter(datasets.shuffled_batches(mapped, size, seed=1))
        kinds["mapped"] = functools.partial(next, batches)
    return kinds


def write_mapped_split(
    images: Images, folder: pathlib.Path
) -> datasets.ImageSplit:
    """Writes an IDX file of the images and maps it into memory."""
    path = folder / "images-idx3-ubyte"
    with path.open("wb") as file:
        file.write(struct.pack(">4B3I", 0, 0, 8, 3, *images.images.shape))
        images.images.tofile(file)
    mapped = datasets.read_idx(path, mmap=True)
    return datasets.ImageSplit(mapped, images.labels)


def measure(
    images: Images,
    size: int,
    *,
    steps: int,
    rounds: int,
    folder: pathlib.Path | None = None,
) -> report.Report:
    """Measures the kinds in turn."""

    def seconds(draw: Callable[[], object]) -> float:
        def loop() -> None:
            for _ in itertools.repeat(None, steps):
                draw()

        return time_call(loop)

    kinds = {
        kind: functools.partial(seconds, draw)
        for kind, draw in make_samplers(images, size, folder).items()
    }
    values = report.measure_in_turn(kinds, rounds, warm_up=1)
    table = report.Table(
        f"Batches of {size:,} from {len(images.labels):,} images",
        "examples/s",
        {k: [steps * size / s for s in times] for k, times in values.items()},
        subject="keras_port",
        higher_is_faster=True,
    )
    return report.Report([table])


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    train = peers_work.load_mnist().train
    images = Images(*(np.concatenate([part] * values.copies) for part in train))
    with tempfile.TemporaryDirectory() as folder:
        measure(
            images,
            values.batch_size,
            steps=values.steps,
            rounds=values.rounds,
            folder=pathlib.Path(folder) if values.mmap else None,
        ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
