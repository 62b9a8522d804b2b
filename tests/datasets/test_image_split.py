"""An ImageSplit refuses what it cannot hold, and deals the course's batches."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from keras_port.datasets import ImageSplit
from keras_port.datasets import Splits

COUNT = 12
HEIGHT, WIDTH = 2, 3


def numbered_images(count: int = COUNT) -> npt.NDArray[np.uint8]:
    """Returns images whose pixels all are the image's number."""
    numbers = np.arange(count, dtype=np.uint8)
    return np.tile(numbers[:, None, None], (1, HEIGHT, WIDTH))


def make(count: int = COUNT, **options: Any) -> ImageSplit:
    """Returns images whose number tells their label."""
    labels = (np.arange(count) % 10).astype(np.uint8)
    return ImageSplit(numbered_images(count), labels, **options)


def dealt(split: ImageSplit, *sizes: int) -> list[int]:
    """Returns the numbers of the images in the next batches."""
    numbers: list[int] = []
    for size in sizes:
        images, labels = split.next_batch(size)
        assert images.shape == (size, HEIGHT * WIDTH)
        chosen = np.rint(images[:, 0] * 255).astype(int)
        np.testing.assert_array_equal(labels.argmax(axis=1), chosen % 10)
        numbers += chosen.tolist()
    return numbers


# What it holds


def test_it_holds_views_and_copies_nothing() -> None:
    images, labels = numbered_images(), np.zeros(COUNT, np.uint8)
    split = ImageSplit(images, labels)
    assert np.shares_memory(split.images, images)
    assert np.shares_memory(split.labels, labels)
    assert (split.images.shape, split.labels.shape) == ((12, 2, 3), (12,))
    assert (len(split), split.num_classes) == (12, 10)


def test_its_arrays_are_read_only_and_yours_are_not() -> None:
    images, labels = numbered_images(), np.zeros(COUNT, np.uint8)
    split = ImageSplit(images, labels)
    for array in (split.images, split.labels, split[2:].images):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    images[0] = labels[0] = 1


def test_it_shows_what_it_holds() -> None:
    shown = repr(make(num_classes=11))
    assert shown == "ImageSplit(12 images of 2 x 3 pixels, 11 classes)"


@pytest.mark.fault("B71")
def test_float_images_are_refused_with_the_reason() -> None:
    images: Any = numbered_images() / 255
    with pytest.raises(ValueError, match="`images` must be uint8") as caught:
        ImageSplit(images, np.zeros(COUNT, np.uint8))
    assert "float64" in str(caught.value)
    assert "scaled to [0, 1] when a batch is made" in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((12, 784), "(12, 784)"), ((12, 2, 3, 1), "(12, 2, 3, 1)"), ((), "()")],
)
def test_images_of_another_rank_are_refused(
    shape: tuple[int, ...], shown: str
) -> None:
    with pytest.raises(ValueError, match="shape") as caught:
        ImageSplit(np.zeros(shape, np.uint8), np.zeros(12, np.uint8))
    assert shown in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 2, 3), (12, 0, 3), (12, 2, 0)])
def test_no_images_and_no_pixels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each at least 1"):
        ImageSplit(np.zeros(shape, np.uint8), np.zeros(shape[0], np.uint8))


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros(COUNT, np.int64),
        np.zeros((COUNT, 10), np.uint8),
        np.zeros((COUNT, 1), np.uint8),
        np.zeros(COUNT, np.float32),
    ],
    ids=lambda labels: f"{labels.dtype} {labels.shape}",
)
def test_labels_of_another_kind_are_refused(labels: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="`labels` must be uint8") as caught:
        ImageSplit(numbered_images(), labels)
    assert f"{labels.dtype} {labels.shape}" in str(caught.value)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_lists_are_refused(name: str) -> None:
    data: dict[str, Any] = {
        "images": numbered_images(),
        "labels": np.zeros(COUNT, np.uint8),
    }
    data[name] = data[name].tolist()
    with pytest.raises(TypeError, match=f"`{name}` must be a NumPy array"):
        ImageSplit(**data)


@pytest.mark.fault("B68")
def test_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="12 images, 11 labels"):
        ImageSplit(numbered_images(), np.zeros(11, np.uint8))


@pytest.mark.fault("B68")
def test_a_label_out_of_range_is_refused_by_index() -> None:
    labels = np.zeros(COUNT, np.uint8)
    labels[7] = 10
    with pytest.raises(ValueError, match="label 10 at index 7"):
        ImageSplit(numbered_images(), labels)
    assert len(ImageSplit(numbered_images(), labels, num_classes=11)) == 12


@pytest.mark.parametrize("value", [0, -1, 257])
def test_a_number_of_classes_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(
        ValueError, match=rf"`num_classes`.*Received: \w+={value}"
    ):
        make(num_classes=value)


@pytest.mark.parametrize("name", ["num_classes", "seed"])
@pytest.mark.parametrize("value", [True, 10.0, "10", None])
def test_what_is_no_int_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be a"):
        make(**{name: value})


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="`seed`"):
        make(seed=-1)


# Slices


def test_a_slice_is_a_split() -> None:
    split = make(num_classes=11, seed=3)
    part = split[2:5]
    assert isinstance(part, ImageSplit)
    assert (len(part), part.num_classes, part.seed) == (3, 11, 3)
    assert part.images[:, 0, 0].tolist() == part.labels.tolist() == [2, 3, 4]
    assert np.shares_memory(part.images, split.images)
    assert split[-2:].labels.tolist() == [0, 1]
    assert split[::5].images[:, 0, 0].tolist() == [0, 5, 10]


def test_an_empty_slice_is_refused() -> None:
    with pytest.raises(ValueError, match="selects none of the 12 images"):
        make()[5:5]


def test_an_index_is_refused() -> None:
    index: Any = 3
    with pytest.raises(TypeError, match=r"split\.images\[0\]"):
        make()[index]


# Batches


def test_a_batch_is_what_the_course_feeds() -> None:
    images, labels = make(num_classes=11).next_batch(5)
    assert images.dtype == labels.dtype == np.float32
    assert (images.shape, labels.shape) == ((5, 6), (5, 11))
    assert sorted(set(labels.ravel())) == [0, 1]
    assert labels.sum(axis=1).tolist() == [1] * 5
    assert images.max() <= 11 / 255


def test_pixels_are_scaled_once_and_in_row_order() -> None:
    images = np.arange(COUNT * 6, dtype=np.uint8).reshape(COUNT, HEIGHT, WIDTH)
    batch, _ = ImageSplit(images, np.zeros(COUNT, np.uint8)).next_batch(COUNT)
    rows = images.reshape(COUNT, 6).astype(np.float32) / np.float32(255)
    order = batch[:, 0].argsort()
    np.testing.assert_array_equal(batch[order], rows)


@pytest.mark.fault("B17")
def test_each_epoch_is_a_permutation_of_its_own() -> None:
    numbers = np.reshape(dealt(make(), *[4] * 12), (4, COUNT))
    for epoch in numbers:
        assert sorted(epoch) == list(range(COUNT))
    assert len({tuple(epoch) for epoch in numbers}) == 4
    assert tuple(range(COUNT)) not in {tuple(epoch) for epoch in numbers}


@pytest.mark.parametrize(
    "sizes", [(5,) * 9 + (3,), (48,), (1,) * 48, (30, 18), (13, 11, 24)]
)
def test_a_batch_spans_epochs_and_the_order_stays(
    sizes: tuple[int, ...],
) -> None:
    assert dealt(make(), *sizes) == dealt(make(), *[COUNT] * 4)


def test_the_order_follows_from_the_seed() -> None:
    orders = [dealt(make(seed=seed), 24) for seed in (0, 0, 1, 256, 2**32)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 4


def test_the_order_leaves_numpys_global_state_alone() -> None:
    # It is the old state, which other code may still use, that is looked at.
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    dealt(make(), 30)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"`size`.*Received: \w+={size}"):
        make().next_batch(size)


@pytest.mark.parametrize("size", [True, 2.0, None])
def test_a_size_that_is_no_int_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="`size` must be a"):
        make().next_batch(size)


def test_a_numpy_integer_is_an_int() -> None:
    size: Any = np.int64(5)
    assert dealt(make(), size) == dealt(make(), 5)


def test_real_batches_look_like_the_tutorials(mnist: Splits) -> None:
    images, labels = mnist.train[:1000].next_batch(100)
    assert (images.shape, labels.shape) == ((100, 784), (100, 10))
    assert (images.min(), images.max()) == (0, 1)
    assert 0.1 < images.mean() < 0.16
