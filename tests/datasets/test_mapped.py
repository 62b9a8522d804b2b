"""Images in a mapped file: the same batches to the bit, and no memory taken."""

import itertools
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_port.datasets import ImageSplit
from keras_port.datasets import read_idx
from keras_port.datasets import shuffled_batches
from keras_port.datasets._mapped import is_mapped
from tests.datasets.idx_files import header
from tests.datasets.idx_files import write

COUNT, HEIGHT, WIDTH = 50, 6, 4
GIB = 1 << 30


def splits(folder: Path) -> tuple[ImageSplit, ImageSplit]:
    """Returns one and the same split, in memory and in a mapped file."""
    generator = np.random.default_rng(0)
    shape = (COUNT, HEIGHT, WIDTH)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    labels = generator.integers(0, 10, COUNT, dtype=np.uint8)
    mapped = read_idx(write(folder / "images", images), mmap=True)
    return ImageSplit(images, labels), ImageSplit(mapped, labels)


def assert_same(one: Any, other: Any, steps: int = 20) -> None:
    """Asserts that two datasets begin with the same batches to the bit."""
    assert one.element_spec == other.element_spec
    assert one.cardinality() == other.cardinality()
    pairs = zip(one.as_numpy_iterator(), other.as_numpy_iterator(), strict=True)
    for expected, found in itertools.islice(pairs, steps):
        for array, same in zip(expected, found, strict=True):
            np.testing.assert_array_equal(array, same, strict=True)


# The split


def test_a_split_and_its_slices_stay_in_the_file(tmp_path: Path) -> None:
    _, split = splits(tmp_path)
    for part in (split, split[10:], split[::3], split[5:][:7], split[::-1]):
        assert is_mapped(part.images)
        assert np.shares_memory(part.images, split.images)
        with pytest.raises(ValueError, match="read-only"):
            part.images[0] = 1


@pytest.mark.parametrize("batch_size", [10, 15])
@pytest.mark.parametrize("max_shift", [0, 1])
def test_an_epoch_is_the_same(
    tmp_path: Path, batch_size: int, max_shift: int
) -> None:
    one, other = (
        shuffled_batches(
            split, batch_size, seed=1, epochs=1, max_shift=max_shift
        )
        for split in splits(tmp_path)
    )
    assert_same(one, other)


def test_next_batch_is_the_same(tmp_path: Path) -> None:
    held, mapped = splits(tmp_path)
    for _ in range(4):
        for array, same in zip(
            held.next_batch(20), mapped.next_batch(20), strict=True
        ):
            assert not is_mapped(same)
            np.testing.assert_array_equal(array, same, strict=True)


# The batches


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"start_batch": 13},
        {"one_hot": True},
        {"image_shape": (HEIGHT, WIDTH, 1)},
        {"image_shape": (2, 12), "max_shift": 2},
        {"start_batch": 5, "one_hot": True, "max_shift": 4},
    ],
    ids=str,
)
def test_the_batches_are_the_same_to_the_bit(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    held, mapped = splits(tmp_path)
    for size in (1, 7, 60):
        assert_same(
            shuffled_batches(held, size, seed=3, **options),
            shuffled_batches(mapped, size, seed=3, **options),
        )


@pytest.mark.parametrize(
    "part", [np.s_[:20], np.s_[7::3], np.s_[::-1], np.s_[:, 1:5, ::2]], ids=str
)
def test_parts_of_a_file_are_dealt_alone(tmp_path: Path, part: Any) -> None:
    held, mapped = (
        ImageSplit(split.images[part], split.labels[: len(split.images[part])])
        for split in splits(tmp_path)
    )
    assert is_mapped(mapped.images)
    assert_same(
        shuffled_batches(held, 7, seed=3), shuffled_batches(mapped, 7, seed=3)
    )


def test_replicas_get_the_same_batches(tmp_path: Path) -> None:
    held, mapped = splits(tmp_path)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = []
    for split in (held, mapped):
        batches = strategy.experimental_distribute_dataset(
            shuffled_batches(split, 8, seed=3)
        )
        batch = list(itertools.islice(batches, 5))
        found.append(tf.nest.flatten(batch, expand_composites=True))
    assert len(found[0]) == 5 * 2 * 2
    for array, same in zip(*found, strict=True):
        np.testing.assert_array_equal(array, same, strict=True)


def test_batches_outlive_the_split_and_the_file_name(tmp_path: Path) -> None:
    held, mapped = splits(tmp_path)
    batches = iter(shuffled_batches(mapped, 7, seed=3))
    del mapped
    (tmp_path / "images").unlink()
    expected = shuffled_batches(held, 7, seed=3)
    for array, same in zip(expected.take(20), batches, strict=False):
        np.testing.assert_array_equal(array[0], same[0], strict=True)


# Memory

# Trains, deals and evaluates under a limit of what the process may take.
SCRIPT = """
import re
import resource
import sys

import keras
import numpy as np

from keras_port import datasets
from keras_port import training

def taken(name):
    with open("/proc/self/status") as status:
        return 1024 * int(re.search(name + r":\\s+(\\d+)", status.read())[1])

path, limit = sys.argv[1], int(sys.argv[2])

def train(split, steps):
    inputs = keras.Input((512 * 512,))
    outputs = keras.layers.Dense(10, "softmax")(inputs)
    model = training.GradientModel(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    batches = datasets.shuffled_batches(split, 8, seed=1, max_shift=1)
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    evaluation = training.Evaluator(model, split, batch_size=8)
    assert evaluation.metric_names() == ["loss"]
    rows = split.images.reshape(len(split), -1)
    training.Evaluator(model, (rows, split.labels), batch_size=8)
    split.next_batch(8)

# What TensorFlow takes once is taken on a small split of the same images.
small = np.zeros((16, 512, 512), np.uint8)
train(datasets.ImageSplit(small, np.zeros(16, np.uint8)), 2)
before = taken("RssAnon")
# Ends the process, or raises, where more is taken even for a moment.
most = taken("VmData") + limit
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
images = datasets.read_idx(path, mmap=sys.argv[3] == "mapped")
split = datasets.ImageSplit(images, np.zeros(len(images), np.uint8))
train(split, 5)
train(split[len(split) // 2 :], 2)
print("more:", taken("RssAnon") - before, images.nbytes)
"""


def train_under_a_limit(path: Path, kind: str) -> tuple[int, str]:
    """Returns the exit status of the script, and what it says."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, str(GIB), kind],
        check=False,
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_gibibytes_are_trained_on_in_a_fraction_of_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "images"
    path.write_bytes(header(8, 2 * GIB // 512**2, 512, 512))
    # All but the header is a hole, which takes no room on the disk.
    os.truncate(path, 16 + 2 * GIB)
    status, said = train_under_a_limit(path, "mapped")
    assert status == 0, said
    more, size = map(int, said.split("more:")[1].split()[:2])
    assert size == 2 * GIB
    assert more < size / 8
    # The limit is one: the same file in memory does not pass.
    status, said = train_under_a_limit(path, "read")
    assert status != 0
    assert "MemoryError" in said
