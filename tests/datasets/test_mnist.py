"""MNIST is the one that everybody knows, and a wrong folder is told apart."""

from collections.abc import Iterator
import hashlib
import importlib.resources
from pathlib import Path
import shutil
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from keras_port.datasets import ImageSplit
from keras_port.datasets import Splits
from keras_port.datasets import load_mnist
from keras_port.datasets import read_idx
from keras_port.datasets._mapped import is_mapped
from tests.datasets.idx_files import FOLDER_NAMES
from tests.datasets.idx_files import idx_bytes
from tests.datasets.idx_files import small_arrays
from tests.datasets.idx_files import write
from tests.datasets.idx_files import write_folder

# Of the unpacked files; they are also those of the original publication.
SHA256 = {
    "train-images": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels": (
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images": (
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels": (
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}
# How often each digit occurs among the 60,000 and the 10,000.
TRAIN_DIGITS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_DIGITS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with a small data set of raw files."""
    return write_folder(tmp_path, small_arrays())


class SocketGuard:
    """Raises at each use of the network while it is switched on."""

    def __init__(self) -> None:
        self.active = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.active and event.startswith(("socket.", "urllib.")):
            raise AssertionError(f"the network was used: {event}")


GUARD = SocketGuard()


@pytest.fixture(scope="module", autouse=True)
def add_guard() -> None:
    # An audit hook stays for the life of the process, so it is added once.
    sys.addaudithook(GUARD)


@pytest.fixture
def no_network() -> Iterator[None]:
    GUARD.active = True
    yield
    GUARD.active = False


# The real data


def test_the_splits_are_those_of_the_course(mnist: Splits) -> None:
    assert [len(split) for split in mnist] == [55_000, 5_000, 10_000]
    assert all(isinstance(split, ImageSplit) for split in mnist)
    assert mnist._fields == ("train", "validation", "test")
    for split in mnist:
        assert split.images.shape == (len(split), 28, 28)
        assert split.images.dtype == split.labels.dtype == np.uint8
        assert (split.images.min(), split.images.max()) == (0, 255)
        assert split.num_classes == 10


def test_the_data_are_the_published_ones(mnist: Splits) -> None:
    whole = {
        "train-images": [mnist.validation.images, mnist.train.images],
        "train-labels": [mnist.validation.labels, mnist.train.labels],
        "t10k-images": [mnist.test.images],
        "t10k-labels": [mnist.test.labels],
    }
    for name, parts in whole.items():
        content = idx_bytes(np.concatenate(parts))
        assert hashlib.sha256(content).hexdigest() == SHA256[name], name


def test_each_digit_occurs_as_often_as_known(mnist: Splits) -> None:
    train = np.bincount(mnist.train.labels, minlength=10)
    validation = np.bincount(mnist.validation.labels, minlength=10)
    assert (train + validation).tolist() == TRAIN_DIGITS
    assert np.bincount(mnist.test.labels).tolist() == TEST_DIGITS


def test_the_first_digits_are_those_of_every_tutorial(mnist: Splits) -> None:
    assert mnist.validation.labels[:10].tolist() == [
        *(5, 0, 4, 1, 9),
        *(2, 1, 3, 1, 4),
    ]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_mean_and_deviation_are_the_known_ones(mnist: Splits) -> None:
    parts = [mnist.validation.images, mnist.train.images]
    pixels = np.concatenate(parts).astype(np.float64) / 255
    assert round(pixels.mean(), 4) == 0.1307
    assert round(pixels.std(), 4) == 0.3081


def test_the_readme_names_each_file_with_its_hash() -> None:
    data = importlib.resources.files("keras_port.datasets") / "mnist_data"
    text = (data / "README.md").read_text()
    for name in FOLDER_NAMES:
        content = (data / f"{name}.gz").read_bytes()
        row = f"| `{name}.gz` | `{hashlib.sha256(content).hexdigest()}` |"
        assert row in text
    for sha256 in SHA256.values():
        assert f"| unpacked | `{sha256}` |" in text
    for word in ("Yann LeCun", "Corinna Cortes", "CC BY-SA 3.0"):
        assert word in text


@pytest.mark.fault("B73")
@pytest.mark.usefixtures("no_network")
def test_no_network_is_needed() -> None:
    assert len(load_mnist().train) == 55_000


@pytest.mark.usefixtures("no_network")
def test_the_guard_notices_the_network() -> None:
    import socket

    with pytest.raises(AssertionError, match="the network was used"):
        socket.socket()
    with pytest.raises(AssertionError, match="the network was used"):
        socket.getaddrinfo("localhost", 80)


@pytest.mark.parametrize("size", [1, 59_999])
def test_the_validation_size_may_be_chosen(size: int) -> None:
    splits = load_mnist(validation_size=size)
    assert [len(split) for split in splits] == [60_000 - size, size, 10_000]


# Another folder


def assert_small(splits: Splits) -> None:
    """Asserts that the splits are `small_arrays`, 6 of them for validation."""
    images, labels, test_images, test_labels = small_arrays()
    for split, wanted in zip(
        splits,
        [
            (images[6:], labels[6:]),
            (images[:6], labels[:6]),
            (test_images, test_labels),
        ],
        strict=True,
    ):
        np.testing.assert_array_equal(split.images, wanted[0])
        np.testing.assert_array_equal(split.labels, wanted[1])


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("separator", ["-", "."])
def test_a_folder_is_read_in_each_spelling(
    tmp_path: Path, ending: str, separator: str
) -> None:
    write_folder(tmp_path, small_arrays(), ending)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", f"{separator}idx"))
    assert_small(load_mnist(tmp_path, validation_size=6))
    assert_small(load_mnist(str(tmp_path), validation_size=6))


def test_spellings_may_be_mixed(tmp_path: Path) -> None:
    names = [
        "train-images.idx3-ubyte.gz",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels.idx1-ubyte",
    ]
    for name, array in zip(names, small_arrays(), strict=True):
        write(tmp_path / name, array)
    assert_small(load_mnist(tmp_path, validation_size=6))


def test_the_uncompressed_file_is_preferred(folder: Path) -> None:
    for name in FOLDER_NAMES:
        (folder / f"{name}.gz").write_bytes(b"not read")
    assert_small(load_mnist(folder, validation_size=6))


def test_folders_named_like_the_files_are_passed_over(folder: Path) -> None:
    for name in FOLDER_NAMES:
        (folder / name).rename(folder / name.replace("-idx", ".idx"))
        (folder / name).mkdir()
    assert_small(load_mnist(folder, validation_size=6))


def test_the_tilde_is_the_home(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert_small(load_mnist(f"~/{folder.name}", validation_size=6))


def test_images_may_have_another_size(tmp_path: Path) -> None:
    write_folder(tmp_path, small_arrays((5, 7)))
    splits = load_mnist(tmp_path, validation_size=6)
    assert splits.train.images.shape == (24, 5, 7)


def test_the_real_files_are_read_from_a_folder(
    tmp_path: Path, mnist: Splits
) -> None:
    data = importlib.resources.files("keras_port.datasets") / "mnist_data"
    with importlib.resources.as_file(data) as source:
        shutil.copytree(source, tmp_path / "copy")
    splits = load_mnist(tmp_path / "copy")
    for split, wanted in zip(splits, mnist, strict=True):
        np.testing.assert_array_equal(split.images, wanted.images)


# Mapped files


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_images_are_mapped_and_labels_are_read(
    folder: Path, ending: str
) -> None:
    for number in (1, 3):
        path = folder / FOLDER_NAMES[number]
        path.unlink()
        write(folder / (path.name + ending), small_arrays()[number])
    splits = load_mnist(folder, validation_size=6, mmap=True)
    assert_small(splits)
    for split in splits:
        assert is_mapped(split.images)
        assert not is_mapped(split.labels)


def test_without_mmap_all_is_read(folder: Path) -> None:
    for split in load_mnist(folder, validation_size=6):
        assert not is_mapped(split.images)


def test_compressed_images_are_not_mapped(tmp_path: Path) -> None:
    write_folder(tmp_path, small_arrays(), ".gz")
    packed = tmp_path / f"{FOLDER_NAMES[0]}.gz"
    with pytest.raises(ValueError, match=f"gunzip -k {packed}"):
        load_mnist(tmp_path, mmap=True)


def test_the_packaged_files_are_not_mapped() -> None:
    with pytest.raises(ValueError, match="`mmap=True` needs `data_dir`"):
        load_mnist(mmap=True)


# Wrong folders


def test_a_missing_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`data_dir`.*nowhere"):
        load_mnist(tmp_path / "nowhere")


def test_a_file_is_no_folder(folder: Path) -> None:
    path = folder / FOLDER_NAMES[0]
    with pytest.raises(
        NotADirectoryError, match=r"must be a directory, and .* is a file"
    ):
        load_mnist(path)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="`data_dir` must not be empty"):
        load_mnist("")


def test_all_missing_files_are_listed_at_once(folder: Path) -> None:
    for name in (FOLDER_NAMES[0], FOLDER_NAMES[3]):
        (folder / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(folder)
    message = str(caught.value)
    assert f"has no {FOLDER_NAMES[0]}, {FOLDER_NAMES[3]}. The name" in message
    assert str(folder) in message
    assert ".gz" in message
    assert ".idx" in message


# Wrong content


def refusal(folder: Path, *names: str) -> str:
    """Returns the message of the `ValueError`, which names the files."""
    with pytest.raises(ValueError, match=names[0]) as caught:
        load_mnist(folder, validation_size=6)
    message = str(caught.value)
    for name in names:
        assert str(folder / name) in message
    return message


@pytest.mark.fault("B66", "B67")
@pytest.mark.parametrize("name", FOLDER_NAMES)
def test_a_malformed_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"<html>")
    assert "HTML" in refusal(folder, name)


@pytest.mark.fault("B68")
@pytest.mark.parametrize(("images", "labels"), [(0, 1), (2, 3)])
def test_a_label_over_9_is_named_with_its_file(
    folder: Path, images: int, labels: int
) -> None:
    wrong = small_arrays()[labels]
    wrong[4] = 17
    write(folder / FOLDER_NAMES[labels], wrong)
    message = refusal(folder, FOLDER_NAMES[images], FOLDER_NAMES[labels])
    assert "label 17 at index 4" in message


@pytest.mark.fault("B68")
def test_counts_that_disagree_are_refused(folder: Path) -> None:
    write(folder / FOLDER_NAMES[1], small_arrays()[1][:-1])
    message = refusal(folder, FOLDER_NAMES[0], FOLDER_NAMES[1])
    assert "30 images, 29 labels" in message


def test_images_and_labels_swapped_are_refused(folder: Path) -> None:
    first, second = folder / FOLDER_NAMES[0], folder / FOLDER_NAMES[1]
    first.rename(folder / "other")
    second.rename(first)
    (folder / "other").rename(second)
    assert "`images` must have the shape" in refusal(folder, FOLDER_NAMES[0])


@pytest.mark.parametrize(
    ("number", "wrong", "shown"),
    [
        (0, small_arrays()[0].astype(np.float32), "`images` must be uint8"),
        (2, small_arrays()[2].reshape(12, 784), "(12, 784)"),
        (3, small_arrays()[3].astype(np.int32), "`labels` must be uint8"),
        (1, np.zeros((30, 10), np.uint8), "(30, 10)"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    folder: Path, number: int, wrong: npt.NDArray[Any], shown: str
) -> None:
    write(folder / FOLDER_NAMES[number], wrong)
    assert shown in refusal(folder, FOLDER_NAMES[number])


def test_two_sizes_of_images_are_refused(folder: Path) -> None:
    write(folder / FOLDER_NAMES[2], small_arrays((28, 27))[2])
    message = refusal(folder, FOLDER_NAMES[0], FOLDER_NAMES[2])
    assert "(28, 28) and (28, 27)" in message


@pytest.mark.parametrize("size", [-1, 0, 30, 31])
def test_a_validation_size_out_of_range_is_refused(
    folder: Path, size: int
) -> None:
    pattern = rf"`validation_size`.*Received: \w+={size}"
    with pytest.raises(ValueError, match=pattern):
        load_mnist(folder, validation_size=size)


@pytest.mark.parametrize("size", [True, 5.0, "5", None])
def test_a_validation_size_that_is_no_int_is_refused(
    folder: Path, size: Any
) -> None:
    with pytest.raises(ValueError, match="`validation_size`"):
        load_mnist(folder, validation_size=size)


@pytest.mark.fault("C31")
def test_a_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="`data_dir` must be a path on this"):
        load_mnist("gs://bucket/mnist")
    with pytest.raises(ValueError, match="`path` must be a path on this"):
        read_idx("s3://bucket/train-images-idx3-ubyte")
