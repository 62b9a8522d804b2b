"""What every peer trains: a network, a precision, a batch, and the images.

Needs only NumPy, because the environments of the peers have no TensorFlow.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import gzip
import pathlib
import time
from typing import NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
DATA = ROOT / "keras_port" / "datasets" / "mnist_data"
VALIDATION = 5000

# What a peer returns: a function that returns the seconds of one measurement.
Measurement = Callable[[], float]


class Recipe(NamedTuple):
    """How a network is trained.

    Args:
        optimizer: "adam" or "sgd".
        learning_rate: Its learning rate.
        loss: What the cross entropy is: the "sum" over the examples, their
            "mean", or the "mean_over_elements" of the labels' rows.
        steps: How many steps take about as long as one of the CNN.
        threads: Threads of an operation in TensorFlow, `None` for all.
    """

    optimizer: str
    learning_rate: float
    loss: str
    steps: int = 1
    threads: int | None = None

    def loss_scale(self, batch_size: int) -> float:
        """Returns what the sum of the examples' losses is multiplied by."""
        scales = {
            "sum": 1.0,
            "mean": 1 / batch_size,
            "mean_over_elements": 0.1 / batch_size,
        }
        return scales[self.loss]


# The two networks of the course, and one with two hidden layers of 128. The
# products of the small ones are too short to divide them among threads.
RECIPES = {
    "cnn": Recipe("adam", 1e-4, "sum"),
    "perceptron": Recipe("sgd", 0.01, "mean_over_elements", 50, threads=1),
    "mlp": Recipe("adam", 1e-3, "mean", 20, threads=1),
}
HIDDEN = 128


@dataclasses.dataclass(frozen=True)
class Work:
    """What one measurement consists of.

    Args:
        model: One of `RECIPES`.
        precision: "float32" or "bfloat16".
        batch_size: Examples per step.
        steps: Steps per measurement.
        eval_freq: Steps between validations in a whole job.
            Defaults to 100.
        seed: Seed of everything random. Defaults to 1.
    """

    model: str = "cnn"
    precision: str = "float32"
    batch_size: int = 100
    steps: int = 100
    eval_freq: int = 100
    seed: int = 1

    @property
    def recipe(self) -> Recipe:
        """How the network is trained."""
        return RECIPES[self.model]


class Images(NamedTuple):
    """Images uint8 (n, 28, 28) and their classes, uint8 (n,)."""

    images: np.ndarray
    labels: np.ndarray


class Mnist(NamedTuple):
    """The three splits of the course."""

    train: Images
    validation: Images
    test: Images


def load_mnist(folder: pathlib.Path = DATA) -> Mnist:
    """Reads the MNIST that ships with the package, without the package."""
    images, labels = (
        read_idx(folder / f"train-{kind}-ubyte.gz")
        for kind in ("images-idx3", "labels-idx1")
    )
    return Mnist(
        Images(images[VALIDATION:], labels[VALIDATION:]),
        Images(images[:VALIDATION], labels[:VALIDATION]),
        Images(
            read_idx(folder / "t10k-images-idx3-ubyte.gz"),
            read_idx(folder / "t10k-labels-idx1-ubyte.gz"),
        ),
    )


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Returns the content of one IDX file of bytes."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    begin = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:begin], ">u4")
    return np.frombuffer(content[begin:], np.uint8).reshape(shape)


def shuffle_indices(count: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the indices of full batches forever, every epoch in a new order.

    Args:
        count: Examples in an epoch.
        size: Examples in a batch.
        seed: Seed of the orders.
    """
    generator = np.random.default_rng(seed)
    left = np.empty(0, np.int64)
    while True:
        while len(left) < size:
            left = np.concatenate([left, generator.permutation(count)])
        yield left[:size]
        left = left[size:]


def time_call(function: Callable[[], object]) -> float:
    """Returns the seconds that a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def flop_per_example(model: str) -> int:
    """Returns the floating point operations to train on one example.

    One product forward, one for the gradient of the weights and one for the
    gradient of the input, which the first layer does not need. Products with
    the zeros around the images count; a convolution that skips them needs 72
    instead of 82 million for the CNN.
    """
    if model == "perceptron":
        return 2 * 2 * 784 * 10
    if model == "mlp":
        inner = 2 * (HIDDEN * HIDDEN + HIDDEN * 10)
        return 2 * 2 * 784 * HIDDEN + 3 * inner
    conv1 = 2 * 28 * 28 * 5 * 5 * 1 * 32
    conv2 = 2 * 14 * 14 * 5 * 5 * 32 * 64
    dense = 2 * (3136 * 1024 + 1024 * 10)
    return 2 * conv1 + 3 * (conv2 + dense)
