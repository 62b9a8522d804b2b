"""Loads MNIST, or a different data set in the same four files."""

import contextlib
import importlib.resources
import os
from pathlib import Path
from typing import NamedTuple

from keras_port._support import check_integer
from keras_port._support import local_path
from keras_port.datasets.idx import read_idx
from keras_port.datasets.image_split import ImageSplit

# Images and labels of the training part, then of the test part.
NAMES = (
    ("train-images", "idx3"),
    ("train-labels", "idx1"),
    ("t10k-images", "idx3"),
    ("t10k-labels", "idx1"),
)


class Splits(NamedTuple):
    """The three parts of a data set.

    Attributes:
        train: To train the model.
        validation: To choose the best weights during training.
        test: To test the model once, at the end.

    Example:

    >>> splits = keras_port.datasets.load_mnist()
    >>> [len(split) for split in splits]
    [55000, 5000, 10000]
    """

    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit


def load_mnist(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    validation_size: int = 5000,
    mmap: bool = False,
) -> Splits:
    """Loads MNIST from the package, or a similar data set from a directory.

    No network is used. The first training images are the validation split, as
    in the TensorFlow 1 tutorials.

    Args:
        data_dir: Directory with `train-images-idx3-ubyte`,
            `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
            `t10k-labels-idx1-ubyte`, with or without `.gz`, or with `.idx`
            instead of `-idx`. If both forms exist, the uncompressed file is
            read. `~` is your home directory. Images may have any size, labels
            are from 0 to 9. Defaults to None, the MNIST in the package.
        validation_size: Number of training images to set aside, at least 1
            and fewer than there are. Defaults to 5,000.
        mmap: Whether to leave the images in their two files and map these,
            for data larger than memory. The files must be uncompressed, and
            `data_dir` is required. Defaults to False, read everything.

    Returns:
        `Splits(train, validation, test)` of `ImageSplit`.

    Raises:
        FileNotFoundError: If the directory or some of the files are missing.
        NotADirectoryError: If `data_dir` is a file.
        ValueError: If a file is malformed, images and labels do not belong
            together, `validation_size` is out of range, `data_dir` is empty or
            a bucket such as `gs://`, or `mmap=True` and the images are
            compressed.

    Example:

    >>> splits = keras_port.datasets.load_mnist("~/data/fashion-mnist")
    >>> splits.test.images.shape
    (10000, 28, 28)
    """
    check_integer("validation_size", validation_size)
    if mmap and data_dir is None:
        raise ValueError(
            "`mmap=True` needs `data_dir`: the MNIST in the package is "
            "compressed, and a compressed file cannot be mapped. Pass a "
            "directory with the four files, decompressed"
        )
    with contextlib.ExitStack() as stack:
        if data_dir is None:
            paths = packaged_files(stack)
        else:
            paths = find_files(data_dir)
        train = read_split(paths[0], paths[1], mmap)
        test = read_split(paths[2], paths[3], mmap)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"{paths[0]}, {paths[2]}: the images of both files must have the "
            f"same size. Received: {train.images.shape[1:]} and "
            f"{test.images.shape[1:]}. Pass files of one data set"
        )
    check_integer("validation_size", validation_size, maximum=len(train) - 1)
    return Splits(train[validation_size:], train[:validation_size], test)


def packaged_files(stack: contextlib.ExitStack) -> list[Path]:
    """Returns the files of the package, on disk until `stack` is closed."""
    folder = importlib.resources.files("keras_port.datasets") / "mnist_data"
    return [
        stack.enter_context(
            importlib.resources.as_file(folder / f"{stem}-{kind}-ubyte.gz")
        )
        for stem, kind in NAMES
    ]


def find_files(data_dir: str | os.PathLike[str]) -> list[Path]:
    """Returns the four files in a directory.

    Raises:
        FileNotFoundError: Names the files that are missing.
    """
    folder = local_path("data_dir", data_dir)
    if not folder.exists():
        raise FileNotFoundError(
            f"`data_dir` must be a directory, and {folder} does not exist. "
            "Leave it out for the MNIST in the package"
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"`data_dir` must be a directory, and {folder} is a file. Pass the "
            "directory with the four IDX files"
        )
    found = [find_file(folder, stem, kind) for stem, kind in NAMES]
    missing = [
        f"{stem}-{kind}-ubyte"
        for (stem, kind), path in zip(NAMES, found, strict=True)
        if path is None
    ]
    if missing:
        raise FileNotFoundError(
            f"`data_dir`: {folder} has no {', '.join(missing)}. The name may "
            "end with .gz, and may have .idx instead of -idx. Copy the missing "
            "files there"
        )
    return [path for path in found if path is not None]


def find_file(folder: Path, stem: str, kind: str) -> Path | None:
    """Returns the file of one name under one of its spellings."""
    for ending in ("", ".gz"):
        for separator in "-.":
            path = folder / f"{stem}{separator}{kind}-ubyte{ending}"
            # Some archives make directories with the names of the files.
            if path.exists() and not path.is_dir():
                return path
    return None


def read_split(images_path: Path, labels_path: Path, mmap: bool) -> ImageSplit:
    """Reads or maps a file of images, and reads its file of labels."""
    # Labels are small, and all of them are checked.
    images, labels = read_idx(images_path, mmap=mmap), read_idx(labels_path)
    try:
        return ImageSplit(images, labels)
    except ValueError as error:
        raise ValueError(f"{images_path}, {labels_path}: {error}") from None
