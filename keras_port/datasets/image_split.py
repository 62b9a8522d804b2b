"""Images with their labels, kept small and read-only."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_port._support import INT64_MAX
from keras_port._support import check_integer
from keras_port.datasets.pixels import scale_pixels

UINT8 = npt.NDArray[np.uint8]
FLOAT32 = npt.NDArray[np.float32]

# Images that a notebook shows of a split.
SHOWN_ROWS = 4
SHOWN_COLUMNS = 16


class ImageSplit:
    """Holds the images and labels of a split, and returns batches of them.

    Pixels stay uint8, a quarter of the memory of float32, and are scaled to [0,
    1] once, when a batch is created. The arrays are read-only views: nothing is
    copied, and the data cannot change by accident. Images in a mapped file,
    `np.memmap`, stay there, even in slices.

    Args:
        images: uint8 array (n, height, width), pixels from 0 to 255.
        labels: uint8 array (n,), classes counted from 0.
        num_classes: Number of classes, 1 to 256. Defaults to 10.
        seed: Whole number, 0 or more, the seed of the orders of `next_batch`.
            Defaults to 0.

    Attributes:
        images: uint8 (n, height, width), read-only.
        labels: uint8 (n,), read-only.
        num_classes: Number of classes.
        seed: The seed of `next_batch`.

    Raises:
        TypeError: If an argument is not of the kind above.
        ValueError: If the type or the shape of an array is not as above, if
            the lengths differ or are 0, or a label is not below `num_classes`.

    Example:

    >>> train = keras_port.datasets.load_mnist().train
    >>> len(train), train.images.shape
    (55000, (55000, 28, 28))
    >>> x, y = train.next_batch(100)
    >>> train[:1000]
    ImageSplit(1000 images of 28 x 28 pixels, 10 classes)
    """

    def __init__(
        self,
        images: UINT8,
        labels: UINT8,
        *,
        num_classes: int = 10,
        seed: int = 0,
    ) -> None:
        self.num_classes = check_integer(
            "num_classes", num_classes, maximum=256
        )
        self.seed = check_integer("seed", seed, minimum=0, maximum=INT64_MAX)
        check_images(images)
        check_labels(labels, len(images), self.num_classes)
        self.images = read_only(images)
        self.labels = read_only(labels)
        self._position = 0
        self._epoch = -1
        self._order = np.empty(0, np.intp)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        count, height, width = self.images.shape
        return (
            f"ImageSplit({count} images of {height} x {width} pixels, "
            f"{self.num_classes} classes)"
        )

    def _repr_png_(self) -> bytes | None:
        """Shows the first images in a notebook; without Pillow, nothing."""
        try:
            from PIL import Image
        except ImportError:
            return None
        shown = self.images[: SHOWN_ROWS * SHOWN_COLUMNS]
        _, height, width = shown.shape
        rows = -(-len(shown) // SHOWN_COLUMNS)
        grid = np.zeros((rows * SHOWN_COLUMNS, height, width), np.uint8)
        grid[: len(shown)] = shown
        joined = grid.reshape(rows, SHOWN_COLUMNS, height, width)
        picture = joined.swapaxes(1, 2).reshape(
            rows * height, SHOWN_COLUMNS * width
        )
        file = io.BytesIO()
        Image.fromarray(255 - picture).save(file, "png")
        return file.getvalue()

    def __getitem__(self, part: slice) -> "ImageSplit":
        if not isinstance(part, slice):
            raise TypeError(
                "The index of an ImageSplit must be a slice, as in "
                f"split[:1000]. Received: {part!r}. For one image write "
                "split.images[0]"
            )
        if not len(range(len(self))[part]):
            raise ValueError(
                f"{part} selects none of the {len(self)} images, and an "
                "ImageSplit must have at least one. Pass a larger slice"
            )
        return ImageSplit(
            self.images[part],
            self.labels[part],
            num_classes=self.num_classes,
            seed=self.seed,
        )

    def next_batch(self, size: int) -> tuple[FLOAT32, FLOAT32]:
        """Returns the next batch, as the tutorials of TensorFlow 1 do.

        Returns all images in a shuffled order, then in a new order in the next
        epoch. A batch may span two epochs, so every batch is full. The order of
        an epoch depends only on `seed` and the epoch.

        Args:
            size: Number of examples, 1 or more; may be larger than the split.

        Returns:
            Images, float32 (size, height * width) from 0 to 1, and one-hot
            labels, float32 (size, num_classes).
        """
        size = check_integer("size", size)
        chosen = self._next_indices(size)
        images = scale_pixels(self.images[chosen].reshape(size, -1))
        labels = np.zeros((size, self.num_classes), np.float32)
        labels[np.arange(size), self.labels[chosen]] = 1
        return images, labels

    def _next_indices(self, size: int) -> npt.NDArray[np.intp]:
        """Returns the next `size` indices, and advances the position."""
        parts = []
        while size:
            epoch, start = divmod(self._position, len(self))
            if epoch != self._epoch:
                generator = np.random.default_rng([self.seed, epoch])
                self._epoch = epoch
                self._order = generator.permutation(len(self))
            part = self._order[start : start + size]
            parts.append(part)
            self._position += len(part)
            size -= len(part)
        return np.concatenate(parts)


def read_only(array: UINT8) -> UINT8:
    """Returns a read-only view."""
    view = array.view()
    view.setflags(write=False)
    return view


def check_images(images: Any) -> None:
    """Raises unless `images` is uint8 (n, height, width), none of them 0."""
    check_array("images", images, "uint8 (n, height, width)")
    if images.dtype != np.uint8:
        raise ValueError(
            "`images` must be uint8: pixels from 0 to 255, which are scaled to "
            f"[0, 1] when a batch is made. Received: {images.dtype}. Pass the "
            "pixels before scaling"
        )
    if images.ndim != 3 or 0 in images.shape:
        raise ValueError(
            "`images` must have the shape (n, height, width), each at least "
            f"1. Received: {images.shape}. Remove a channel axis with "
            "images[..., 0]"
        )


def check_labels(labels: Any, count: int, num_classes: int) -> None:
    """Raises unless `labels` holds a class for each of `count` images."""
    check_array("labels", labels, "uint8 (n,)")
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(
            "`labels` must be uint8 of shape (n,). Received: "
            f"{labels.dtype} {labels.shape}. Convert integers with "
            "labels.astype(np.uint8), and one-hot rows with "
            "labels.argmax(axis=1).astype(np.uint8)"
        )
    if len(labels) != count:
        raise ValueError(
            "`images` and `labels` must have the same length. Received: "
            f"{count} images, {len(labels)} labels"
        )
    if (high := labels.max()) >= num_classes:
        raise ValueError(
            f"`labels` must be from 0 to {num_classes - 1}. Received: label "
            f"{high} at index {labels.argmax()}. Fix it, or pass a larger "
            f"`num_classes` than {num_classes}"
        )


def check_array(name: str, value: Any, expected: str) -> None:
    """Raises `TypeError` unless `value` is a NumPy array."""
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"`{name}` must be a NumPy array, {expected}. Received: "
            f"{type(value).__name__}. Convert it with np.asarray"
        )
