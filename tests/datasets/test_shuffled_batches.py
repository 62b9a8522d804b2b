"""The batch of step k follows from (seed, k), and each epoch is complete."""

import itertools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from keras_port.datasets import ImageSplit
from keras_port.datasets import Splits
from keras_port.datasets import shuffled_batches

HEIGHT, WIDTH = 4, 4
Indices = npt.NDArray[np.int64]


def make(count: int) -> ImageSplit:
    """Returns images that carry their number in the first four pixels."""
    numbers = np.arange(count, dtype=">u4")
    images = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    images[:, 0] = numbers.view(np.uint8).reshape(count, 4)
    labels = (np.arange(count) % 10).astype(np.uint8)
    return ImageSplit(images, labels)


def indices_in(images: npt.NDArray[np.float32]) -> Indices:
    """Returns the numbers of the images in a batch."""
    pixels = np.rint(images.reshape(len(images), -1)[:, :4] * 255)
    return pixels.astype(np.int64) @ (256 ** np.arange(3, -1, -1))


def dealt(
    split: ImageSplit, batch_size: int, steps: int, **options: Any
) -> Indices:
    """Returns the numbers of the images in the first batches."""
    batches = shuffled_batches(split, batch_size, **options)
    found = []
    for images, labels in itertools.islice(batches.as_numpy_iterator(), steps):
        numbers = indices_in(images)
        np.testing.assert_array_equal(labels, numbers % 10)
        found.append(numbers)
    return np.stack(found)


def epochs_of(split: ImageSplit, count: int, **options: Any) -> Indices:
    """Returns the orders of the first epochs."""
    return dealt(split, len(split), count, **options)


# The order


@pytest.mark.fault("B17")
@pytest.mark.parametrize("count", [1, 2, 3, 10, 257, 1000])
def test_each_epoch_is_a_permutation(count: int) -> None:
    for order in epochs_of(make(count), 4, seed=1):
        np.testing.assert_array_equal(np.sort(order), np.arange(count))


@pytest.mark.parametrize("count", [65_536, 65_537, 65_538])
def test_an_epoch_beyond_16_bits_is_a_permutation(count: int) -> None:
    # index_shuffle of TensorFlow 2.21 deals example 0 twice for 65,537.
    order = epochs_of(make(count), 1, seed=3)[0]
    np.testing.assert_array_equal(np.sort(order), np.arange(count))


@pytest.mark.fault("B17")
def test_the_orders_of_epochs_differ() -> None:
    orders = epochs_of(make(100), 4, seed=1)
    assert len({tuple(order) for order in orders}) == 4
    assert tuple(range(100)) not in {tuple(order) for order in orders}


@pytest.mark.fault("B17")
@pytest.mark.parametrize("batch_size", [1, 7, 10, 25])
@pytest.mark.parametrize("start_batch", [1, 2, 3, 17, 30])
def test_a_resumed_order_is_the_uninterrupted_one(
    batch_size: int, start_batch: int
) -> None:
    split = make(10)
    whole = dealt(split, batch_size, start_batch + 8, seed=5)
    resumed = dealt(split, batch_size, 8, seed=5, start_batch=start_batch)
    np.testing.assert_array_equal(resumed, whole[start_batch:])


@pytest.mark.fault("B17")
def test_epoch_3_is_the_same_after_a_resume() -> None:
    split = make(60)
    orders = dealt(split, 20, 12, seed=1).reshape(4, 60)
    resumed = dealt(split, 20, 3, seed=1, start_batch=6).reshape(60)
    np.testing.assert_array_equal(resumed, orders[2])


@pytest.mark.parametrize("batch_size", [1, 7, 10, 25, 100])
def test_the_order_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    split = make(10)
    stream = epochs_of(split, 30, seed=2).ravel()
    steps = 300 // batch_size
    found = dealt(split, batch_size, steps, seed=2).ravel()
    np.testing.assert_array_equal(found, stream[: steps * batch_size])


@pytest.mark.parametrize("start_batch", [2**31 - 1, 2**33, 2**55])
def test_positions_beyond_32_bits_are_dealt(start_batch: int) -> None:
    split = make(10)
    whole = dealt(split, 10, 3, seed=2, start_batch=start_batch)
    later = dealt(split, 10, 2, seed=2, start_batch=start_batch + 1)
    np.testing.assert_array_equal(later, whole[1:])
    for order in whole:
        assert sorted(order) == list(range(10))
    assert len({tuple(order) for order in whole}) == 3


def test_two_iterators_of_one_dataset_agree() -> None:
    batches = shuffled_batches(make(10), 4, seed=1)
    first, second = iter(batches), iter(batches)
    for _ in range(8):
        for one, other in zip(next(first), next(second), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_order_does_not_follow_the_global_seed() -> None:
    split = make(50)
    tf.random.set_seed(1)
    before = dealt(split, 10, 12, seed=1)
    tf.random.set_seed(2)
    np.testing.assert_array_equal(dealt(split, 10, 12, seed=1), before)


def test_every_part_of_the_seed_matters() -> None:
    # index_shuffle takes the seed modulo 256 for a split of this size.
    split = make(50)
    seeds = [0, 1, 256, 257, 2**32, 2**32 + 1, 2**62, 2**63 - 1]
    orders = {
        tuple(order)
        for seed in seeds
        for order in epochs_of(split, 2, seed=seed)
    }
    assert len(orders) == 2 * len(seeds)


def test_the_order_is_this_one() -> None:
    # A change of it breaks exact resuming from before the change. TensorFlow
    # does not promise the order between its versions; 2.21 wrote this one.
    orders = epochs_of(make(8), 2, seed=1)
    assert orders.tolist() == [
        [5, 1, 6, 4, 7, 2, 0, 3],
        [0, 2, 7, 6, 5, 3, 4, 1],
    ]


def test_neighbouring_epochs_are_unrelated() -> None:
    # By chance, the most frequent difference occurs some 10 times. With
    # index_shuffle an eighth of the places have one and the same.
    first, second = epochs_of(make(55_000), 2, seed=1)
    assert np.bincount(first ^ second).max() < 55
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_neighbours_in_an_epoch_are_unrelated() -> None:
    order = epochs_of(make(55_000), 1, seed=1)[0]
    assert np.bincount(np.diff(order) + 55_000).max() < 55
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(order, np.arange(55_000))[0, 1]) < 0.02


def test_the_classes_of_a_batch_are_a_random_sample(mnist: Splits) -> None:
    batches = shuffled_batches(mnist.train, 100, seed=1)
    counts = np.stack(
        [
            np.bincount(labels, minlength=10)
            for _, labels in itertools.islice(batches.as_numpy_iterator(), 550)
        ]
    )
    expected = np.bincount(mnist.train.labels) / 550
    np.testing.assert_array_equal(counts.sum(axis=0), expected * 550)
    # Chi-squared with 9 degrees of freedom; the mean of 550 batches is within
    # 0.18 of 9 in two of three orders.
    statistic = ((counts - expected) ** 2 / expected).sum(axis=1)
    assert abs(statistic.mean() - 9) < 0.7


# The end


def finite(split: ImageSplit, batch_size: int, **options: Any) -> list[Any]:
    """Returns the numbers of the images in every batch, to the end."""
    batches = shuffled_batches(split, batch_size, **options)
    found = [indices_in(x) for x, _ in batches.as_numpy_iterator()]
    assert len(found) == batches.cardinality()
    return found


@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 15, 100])
def test_so_many_epochs_are_the_first_of_the_endless_batches(
    batch_size: int, epochs: int
) -> None:
    split = make(10)
    found = finite(split, batch_size, seed=1, epochs=epochs)
    whole = epochs_of(split, epochs, seed=1).ravel()
    np.testing.assert_array_equal(np.concatenate(found), whole)
    assert {len(batch) for batch in found[:-1]} <= {batch_size}


@pytest.mark.parametrize("start_batch", range(8))
@pytest.mark.parametrize("options", [{}, {"max_shift": 1}])
def test_resumed_batches_end_at_the_same_place(
    start_batch: int, options: dict[str, Any]
) -> None:
    batches = shuffled_batches(make(10), 3, seed=1, epochs=2, **options)
    resumed = shuffled_batches(
        make(10), 3, seed=1, epochs=2, start_batch=start_batch, **options
    )
    assert batches.cardinality() == 7
    assert resumed.cardinality() == 7 - start_batch
    pairs = zip(
        batches.skip(start_batch).as_numpy_iterator(),
        resumed.as_numpy_iterator(),
        strict=True,
    )
    for batch, same in pairs:
        np.testing.assert_array_equal(batch[0], same[0])
        np.testing.assert_array_equal(batch[1], same[1])


@pytest.mark.parametrize("max_shift", [0, 1])
def test_the_shape_of_batches_is_known_if_all_are_full(max_shift: int) -> None:
    options: dict[str, Any] = {"seed": 1, "epochs": 2, "max_shift": max_shift}
    full = shuffled_batches(make(10), 4, **options)
    assert full.element_spec[0].shape == (4, 16)
    assert full.element_spec[1].shape == (4,)
    smaller = shuffled_batches(make(10), 3, **options)
    assert smaller.element_spec[0].shape.as_list() == [None, 16]
    assert [len(y) for _, y in smaller.as_numpy_iterator()] == [3] * 6 + [2]


def test_fit_needs_no_number_of_steps_for_an_epoch() -> None:
    model = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(10, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    batches = shuffled_batches(make(10), 3, seed=1, epochs=2)
    model.fit(batches, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 7
    model.evaluate(batches, verbose=0)
    assert model.predict(batches, verbose=0).shape == (20, 10)


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="`start_batch` must be at most 7"):
        shuffled_batches(make(10), 3, seed=1, epochs=2, start_batch=8)


# The batches


@pytest.mark.parametrize(
    ("image_shape", "shape"),
    [
        (None, (16,)),
        ((16,), (16,)),
        ((4, 4), (4, 4)),
        ([4, 4, 1], (4, 4, 1)),
        ((2, 8), (2, 8)),
    ],
)
def test_images_come_in_the_shape_of_the_model(
    image_shape: Any, shape: tuple[int, ...]
) -> None:
    split = make(10)
    batches = shuffled_batches(split, 6, seed=1, image_shape=image_shape)
    images, labels = next(batches.as_numpy_iterator())
    assert (images.shape, images.dtype) == ((6, *shape), np.float32)
    assert (labels.shape, labels.dtype) == ((6,), np.int32)
    rows = split.images[indices_in(images)].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(images, rows.reshape(6, *shape))
    assert batches.element_spec == (
        tf.TensorSpec((6, *shape), tf.float32),
        tf.TensorSpec((6,), tf.int32),
    )


def test_labels_may_be_one_hot() -> None:
    split = ImageSplit(*vars_of(make(10)), num_classes=12)
    batches = shuffled_batches(split, 6, seed=1, one_hot=True)
    images, labels = next(batches.as_numpy_iterator())
    assert (labels.shape, labels.dtype) == ((6, 12), np.float32)
    expected = np.eye(12)[indices_in(images) % 10]
    np.testing.assert_array_equal(labels, expected)
    assert batches.element_spec[1] == tf.TensorSpec((6, 12), tf.float32)


def vars_of(split: ImageSplit) -> tuple[Any, Any]:
    return split.images, split.labels


def test_a_slice_is_dealt_alone() -> None:
    found = dealt(make(30)[10:20], 10, 2, seed=1)
    np.testing.assert_array_equal(
        np.sort(found), np.tile(np.arange(10, 20), (2, 1))
    )


def test_the_dataset_is_known_to_be_endless() -> None:
    batches = shuffled_batches(make(10), 3, seed=1)
    assert batches.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.fault("B74")
def test_autotuning_is_off() -> None:
    options = shuffled_batches(make(10), 3, seed=1).options()
    assert options.autotune.enabled is False
    assert options.deterministic is True


def test_the_graph_holds_no_copy_of_the_images() -> None:
    split = make(10_000)
    variant = tf.data.experimental.to_variant(
        shuffled_batches(split, 100, seed=1)
    )
    serialised = tf.raw_ops.DatasetToGraphV2(input_dataset=variant).numpy()
    graph = tf.compat.v1.GraphDef.FromString(serialised)
    assert graph.library.ByteSize() < split.images.nbytes / 4


def test_a_model_fits_on_it(small_mnist: Splits) -> None:
    model = keras.Sequential(
        [keras.Input((784,)), keras.layers.Dense(10, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    batches = shuffled_batches(small_mnist.train, 50, seed=1)
    # Keras warns that it cannot shuffle a dataset, which is its default.
    history = model.fit(
        batches, epochs=3, steps_per_epoch=10, shuffle=False, verbose=0
    )
    losses = history.history["loss"]
    assert losses[0] > losses[1] > losses[2]
    assert model.optimizer.iterations == 30


# Wrong arguments


@pytest.mark.parametrize("image_shape", [(15,), (4, 5), (4, 4, 3), ()])
def test_a_shape_of_other_pixels_is_refused(image_shape: Any) -> None:
    with pytest.raises(ValueError, match="`image_shape`") as caught:
        shuffled_batches(make(10), 2, seed=1, image_shape=image_shape)
    assert str(image_shape) in str(caught.value)
    assert "(4, 4)" in str(caught.value)


@pytest.mark.parametrize("image_shape", [(-4, -4), (0,), (-1,)])
def test_a_shape_with_a_wrong_length_is_refused(image_shape: Any) -> None:
    with pytest.raises(ValueError, match="`image_shape`"):
        shuffled_batches(make(10), 2, seed=1, image_shape=image_shape)


def test_an_image_shape_of_floats_is_refused() -> None:
    shape: Any = (4.0, 4.0)
    with pytest.raises(ValueError, match="`image_shape`"):
        shuffled_batches(make(10), 2, seed=1, image_shape=shape)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 2**31),
        ("seed", -1),
        ("seed", 2**63),
        ("start_batch", -1),
        ("start_batch", 2**63),
        ("epochs", 0),
        ("epochs", -1),
        ("epochs", 2**63),
    ],
)
def test_a_number_out_of_range_is_refused(name: str, value: int) -> None:
    numbers: dict[str, Any] = {"batch_size": 2, "seed": 1, name: value}
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: \w+={value}"):
        shuffled_batches(make(10), **numbers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("batch_size", "seed", "start_batch", "epochs")
        for value in (True, 2.0, "2", None)
        # Without a number of epochs the batches are endless.
        if (name, value) != ("epochs", None)
    ],
)
def test_what_is_no_int_is_refused(name: str, value: Any) -> None:
    numbers: dict[str, Any] = {"batch_size": 2, "seed": 1, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be a"):
        shuffled_batches(make(10), **numbers)


def test_the_last_step_that_can_be_counted_is_dealt() -> None:
    split = make(10)
    assert dealt(split, 3, 1, seed=1, start_batch=(2**63 - 1) // 3).size == 3


def test_arrays_are_no_split() -> None:
    arrays: Any = vars_of(make(10))
    with pytest.raises(TypeError, match="`split` must be an ImageSplit"):
        shuffled_batches(arrays, 2, seed=1)


def test_numpy_integers_and_keras_iterations_are_ints() -> None:
    split = make(10)
    optimizer = keras.optimizers.SGD()
    optimizer.build([])
    optimizer.iterations.assign(4)
    found = dealt(
        split,
        5,
        2,
        seed=np.int64(1),
        start_batch=int(optimizer.iterations),
    )
    expected = dealt(split, 5, 2, seed=1, start_batch=4)
    np.testing.assert_array_equal(found, expected)


# Shifts


def bright(count: int) -> ImageSplit:
    """Returns images of 5 x 6 with one white pixel at row 2, column 3."""
    images = np.zeros((count, 5, 6), np.uint8)
    images[:, 2, 3] = 255
    return ImageSplit(images, (np.arange(count) % 10).astype(np.uint8))


def places(steps: int, **options: Any) -> Indices:
    """Returns row and column of the white pixel in each image dealt."""
    batches = shuffled_batches(
        bright(40), 20, seed=1, image_shape=(5, 6), max_shift=2, **options
    )
    taken = itertools.islice(batches.as_numpy_iterator(), steps)
    images = np.concatenate([images for images, _ in taken])
    assert set(np.unique(images)) == {0, 1}
    np.testing.assert_array_equal(images.sum((1, 2)), 1)
    return np.stack(np.nonzero(images)[1:], axis=1)


def test_each_shift_up_to_the_largest_is_equally_likely() -> None:
    found = places(200) - [2, 3]
    pairs, counts = np.unique(found, axis=0, return_counts=True)
    assert len(pairs) == 25
    assert np.abs(pairs).max() == 2
    # 160 expected of 4,000; the standard deviation is 12.4.
    assert counts.min() > 110
    assert counts.max() < 210


def test_shifts_of_a_step_follow_from_seed_and_step() -> None:
    np.testing.assert_array_equal(places(3)[40:], places(1, start_batch=2))
    assert (places(2)[:20] != places(2)[20:]).any()


def test_what_is_moved_out_is_gone_and_black_comes_in() -> None:
    white = np.full((10, 4, 4), 255, np.uint8)
    split = ImageSplit(white, np.zeros(10, np.uint8))
    batches = shuffled_batches(split, 10, seed=1, max_shift=4)
    images, _ = next(batches.as_numpy_iterator())
    assert images.shape == (10, 16)
    images = images.reshape(10, 4, 4)
    # A rectangle is left: full where both a row and a column have a pixel.
    rows, columns = images.max(2), images.max(1)
    np.testing.assert_array_equal(
        images, rows[:, :, None] * columns[:, None, :]
    )
    assert 0 < images.mean() < 1


@pytest.mark.parametrize("max_shift", [-1, 5])
def test_a_shift_out_of_the_image_is_refused(max_shift: int) -> None:
    with pytest.raises(ValueError, match="`max_shift`"):
        shuffled_batches(make(10), 2, seed=1, max_shift=max_shift)
