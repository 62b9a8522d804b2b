"""Batches whose order is a pure function of (seed, step)."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
import math
from typing import Any

import tensorflow as tf

from keras_port._support import INT64_MAX
from keras_port._support import check_integer
from keras_port.datasets._mapped import row_gatherer
from keras_port.datasets._own_batches import OwnBatches
from keras_port.datasets._own_batches import note_own_batches
from keras_port.datasets.image_split import ImageSplit
from keras_port.datasets.pixels import scale_pixels
from keras_port.datasets.random_shift import shift_randomly

# With two batches, the next batch is ready when a step ends.
PREFETCHED = 2


def shuffled_batches(
    split: ImageSplit,
    batch_size: int,
    *,
    seed: int,
    start_batch: int = 0,
    epochs: int | None = None,
    image_shape: Sequence[int] | None = None,
    one_hot: bool = False,
    max_shift: int = 0,
    scale: bool = True,
) -> tf.data.Dataset:
    """Returns batches of a split, every epoch in a different order.

    The batch of step k depends only on `seed` and k, so there is no state to
    save: with `start_batch=k`, a resumed training continues with the next
    batch. An epoch has every image once; a batch may span several epochs.

    The batches are endless, so `fit` needs `steps_per_epoch`, unless `epochs`
    is set.

    Args:
        split: The images and labels. They are held once, as uint8; images in
            a mapped file stay there, and only those of a batch are read.
        batch_size: Examples in each batch, 1 or more.
        seed: Whole number from 0 to 2**63 - 1. Another seed gives other
            orders. An order may change with the version of TensorFlow.
        start_batch: Number of batches to skip; `model.optimizer.iterations` to
            resume a training. Defaults to 0.
        epochs: Number of epochs after which the batches end, for programs that
            read a dataset to its end. The last batch is smaller if the epochs
            do not fill it. Defaults to None, endless.
        image_shape: Shape of one image in the batch, of as many pixels as the
            split's, such as (784,), (28, 28) or (28, 28, 1). Defaults to None,
            one row of height * width.
        one_hot: Whether labels are one-hot rows. Defaults to False, one
            integer per example.
        max_shift: Largest random shift of an image in pixels, up or down and
            left or right; the border is black. Defaults to 0.
        scale: Whether the images are scaled. Defaults to True. With False they
            stay uint8, for models that scale them, as the course's do: a batch
            is made in less time, and has a quarter of the size.

    Returns:
        Dataset of known or infinite cardinality. Its elements are images,
        float32 (batch_size, *image_shape) from 0 to 1 or uint8 from 0 to 255,
        with labels, int32 (batch_size,) or float32 (batch_size, num_classes).
        It yields the same batches each time it is iterated, so for three
        epochs of `fit` pass `epochs=3` here and not there.

    Raises:
        TypeError: If `split` is not an `ImageSplit`.
        ValueError: If a number is out of range, `start_batch` is beyond the
            last of the `epochs`, or `image_shape` does not hold the pixels of
            an image.

    Example:

    >>> train = keras_port.datasets.load_mnist().train
    >>> batches = keras_port.datasets.shuffled_batches(train, 100, seed=1)
    >>> history = model.fit(batches, steps_per_epoch=10, verbose=0)
    """
    if not isinstance(split, ImageSplit):
        raise TypeError(
            "`split` must be an ImageSplit. Received: "
            f"{type(split).__name__}. Make one with ImageSplit(images, labels)"
        )
    batch_size = check_integer("batch_size", batch_size, maximum=2**31 - 1)
    seed = check_integer("seed", seed, minimum=0, maximum=INT64_MAX)
    # No position in the stream of examples is beyond int64.
    start_batch = check_integer(
        "start_batch", start_batch, minimum=0, maximum=INT64_MAX // batch_size
    )
    if epochs is not None:
        epochs = check_epochs(epochs, len(split), batch_size, start_batch)
    shape = check_image_shape(image_shape, split)
    max_shift = check_integer(
        "max_shift", max_shift, minimum=0, maximum=min(split.images.shape[1:])
    )

    maker = BatchMaker(
        split,
        batch_size,
        seed=seed,
        epochs=epochs,
        image_shape=shape,
        one_hot=one_hot,
        max_shift=max_shift,
        scale=scale,
    )
    # `rebatch` does not know how many batches it makes.
    length = tf.data.experimental.assert_cardinality(
        tf.data.INFINITE_CARDINALITY
        if epochs is None
        else -(-epochs * len(split) // batch_size) - start_batch
    )
    batches = maker.make_batches(start_batch).apply(length)
    batches = batches.prefetch(PREFETCHED).with_options(batch_options())

    # For the next `fit`: making it takes as long as hundreds of steps of the
    # perceptron.
    @functools.lru_cache(maxsize=1)
    def make_stacks(skipped: int, rows: int) -> tf.data.Dataset:
        stacks = maker.make_stacked_batches(start_batch + skipped, rows)
        # The next stack is ready when a call ends.
        return stacks.prefetch(1).with_options(batch_options())

    own = OwnBatches(split.labels, make_stacks if epochs is None else None)
    note_own_batches(batches, own)
    return batches


class BatchMaker:
    """Makes datasets of batches, or of stacks of batches.

    Args:
        split: The images and labels.
        batch_size: Examples in each batch.
        seed: The seed of all orders.
        epochs: Number of epochs after which the batches end, or `None`.
        image_shape: Shape of one image in the batch.
        one_hot: Whether labels are one-hot rows.
        max_shift: Largest random shift of an image in pixels.
        scale: Whether the images are scaled.
    """

    def __init__(
        self,
        split: ImageSplit,
        batch_size: int,
        *,
        seed: int,
        epochs: int | None,
        image_shape: tuple[int, ...],
        one_hot: bool,
        max_shift: int,
        scale: bool,
    ) -> None:
        self._batch_size = batch_size
        self._seed = seed
        self._epochs = epochs
        self._count = len(split)
        self._image_shape = image_shape
        self._num_classes = split.num_classes if one_hot else None
        self._max_shift = max_shift
        self._scale = scale
        # Outside of the function that makes a batch: it captures the two
        # tensors by reference, and the graph holds no copy of them.
        own_shape = split.images.shape[1:]
        self._gather_images = row_gatherer(
            split.images, own_shape if max_shift else image_shape
        )
        self._labels = tf.constant(split.labels, tf.int32)

    def make_batches(self, start: int) -> tf.data.Dataset:
        """Returns the batches from number `start` on."""
        # The shape of a batch is known, unless the last one is smaller.
        is_filled = (
            self._epochs is None
            or self._epochs * self._count % self._batch_size == 0
        )
        indices = self._make_indices(start).rebatch(
            self._batch_size, drop_remainder=is_filled
        )
        if not self._max_shift:
            return map_dataset(indices, self._make_batch)
        return map_dataset(
            indices.enumerate(start),
            lambda step, indices: self._make_batch(indices, step),
        )

    def make_stacked_batches(self, start: int, rows: int) -> tf.data.Dataset:
        """Returns the batches from number `start` on, `rows` at once.

        Args:
            start: Number of the first batch.
            rows: Batches in a stack, whose images have the shape (rows,
                batch_size, ...).
        """
        if self._max_shift:
            return self.make_batches(start).batch(rows, drop_remainder=True)
        # Images are gathered once for a stack, not for every batch.
        indices = self._make_indices(start).rebatch(
            rows * self._batch_size, drop_remainder=True
        )
        return map_dataset(
            indices,
            lambda indices: tuple(
                tf.reshape(part, (rows, self._batch_size, *part.shape[1:]))
                for part in self._make_batch(indices)
            ),
        )

    def _make_indices(self, start: int) -> tf.data.Dataset:
        first = start * self._batch_size
        return shuffled_indices(self._count, self._seed, first, self._epochs)

    def _make_batch(
        self, indices: tf.Tensor, step: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the images and labels of some indices.

        Args:
            indices: The places of the examples in the split.
            step: The number of the batch, if its images are shifted.
        """
        classes = tf.gather(self._labels, indices)
        if self._num_classes is not None:
            classes = tf.one_hot(classes, self._num_classes)
        pixels = self._gather_images(indices)
        if step is not None:
            pixels = shift_randomly(pixels, self._max_shift, self._seed, step)
            shape = self._image_shape
            pixels = tf.reshape(pixels, (-1, *shape))
            pixels = tf.ensure_shape(pixels, (indices.shape[0], *shape))
        return scale_pixels(pixels) if self._scale else pixels, classes


def shuffled_indices(
    count: int, seed: int, start: int, epochs: int | None = None
) -> tf.data.Dataset:
    """Yields the indices of every epoch as one vector.

    Args:
        count: Examples in an epoch.
        seed: The seed of all orders.
        start: Position in the stream of examples to begin at.
        epochs: Number of the epoch before which to end, or `None` for never.
    """
    first_epoch, skipped = divmod(start, count)
    skipped = tf.constant(skipped, tf.int64)

    # `index_shuffle` would need no vector, but in TensorFlow 2.21 it is no
    # permutation for 65,537 examples, takes seeds modulo 256 up to 65,536
    # examples, and its orders of neighbouring epochs are related: an eighth of
    # the 55,000 places differ by one and the same bit pattern. A full shuffle
    # costs less per batch, 1.8 ms per epoch of 550 batches.
    def order(epoch: tf.Tensor) -> tf.Tensor:
        shuffled = tf.random.experimental.stateless_shuffle(
            tf.range(count, dtype=tf.int64),
            seed=tf.stack([tf.constant(seed, tf.int64), epoch]),
            alg="philox",
        )
        begin = tf.where(epoch == first_epoch, skipped, 0)
        return shuffled[begin:]

    # `Dataset.counter` would trace a function.
    numbers = tf.data.Dataset.range(
        first_epoch, INT64_MAX if epochs is None else max(epochs, first_epoch)
    )
    return map_dataset(numbers, order)


def map_dataset(
    dataset: tf.data.Dataset, function: Callable[..., Any]
) -> tf.data.Dataset:
    """Returns `dataset.map(function)` for a function of operations alone.

    By default `map` converts every function with AutoGraph, which delays the
    first step and is not needed here.
    """
    return dataset.map(tf.autograph.experimental.do_not_convert(function))


def batch_options() -> tf.data.Options:
    """Returns the options under which the batches are made."""
    options = tf.data.Options()
    # Destroying the iterator of an autotuned dataset can stall: `fit` took
    # 10.3 s instead of 5.2 s in half of the runs, and in none without.
    options.autotune.enabled = False
    options.deterministic = True
    # Searching for optimizations delays the first batch by 40 ms.
    options.experimental_optimization.apply_default_optimizations = False
    return options


def check_epochs(
    epochs: int, count: int, batch_size: int, start_batch: int
) -> int:
    """Returns a number of epochs that reach as far as `start_batch`."""
    # No position in the stream of examples is beyond int64.
    epochs = check_integer("epochs", epochs, maximum=INT64_MAX // count)
    total = -(-epochs * count // batch_size)
    if start_batch > total:
        raise ValueError(
            f"`start_batch` must be at most {total:,}, the number of batches "
            f"in `epochs={epochs}`. Received: start_batch={start_batch}"
        )
    return epochs


def check_image_shape(
    image_shape: Sequence[int] | None, split: ImageSplit
) -> tuple[int, ...]:
    """Returns the shape of one image in a batch."""
    own = split.images.shape[1:]
    if image_shape is None:
        return (math.prod(own),)
    shape = tuple(check_integer("image_shape", size) for size in image_shape)
    if math.prod(shape) != math.prod(own):
        raise ValueError(
            f"`image_shape` {shape} holds {math.prod(shape)} pixels, and the "
            f"images of the split, {own}, have {math.prod(own)}. Pass a shape "
            f"such as {(math.prod(own),)}, {own} or {(*own, 1)}"
        )
    return shape
