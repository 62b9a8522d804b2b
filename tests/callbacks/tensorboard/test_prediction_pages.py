"""Pictures, precision-recall curves and points of what a network says."""

from pathlib import Path

from google.protobuf import text_format
import numpy as np
import pytest
from tensorboard.plugins import projector
import tensorflow as tf

from keras_port import datasets
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.callbacks.tensorboard import pictures
from keras_port.callbacks.tensorboard.prediction_pages import as_probabilities
from tests.callbacks.scripted import WeightsAt
from tests.callbacks.tensorboard.networks import image_arrays
from tests.callbacks.tensorboard.networks import image_batches
from tests.callbacks.tensorboard.networks import image_model
from tests.callbacks.tensorboard.written import images_of
from tests.callbacks.tensorboard.written import steps_of
from tests.callbacks.tensorboard.written import written

Trained = tuple[Path, dict[int, list[np.ndarray]]]
STEPS = (3, 6)


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, small_mnist: datasets.Splits
) -> Trained:
    """Trains for 6 steps with two evaluations; returns folder and weights."""
    folder = tmp_path_factory.mktemp("pages")
    weights = WeightsAt(*STEPS)
    image_model().fit(
        image_batches(small_mnist.train),
        steps_per_epoch=6,
        callbacks=[
            StepEvaluation(small_mnist.validation, eval_freq=3),
            TensorBoard(folder, data=small_mnist.validation),
            weights,
        ],
        verbose=0,
    )
    return folder, weights.weights


@pytest.fixture(scope="module")
def scores(
    trained: Trained, small_mnist: datasets.Splits
) -> dict[int, np.ndarray]:
    """Returns what the network says of the validation images, by step."""
    model = image_model()
    x, _ = image_arrays(small_mnist.validation)
    found = {}
    for step, weights in trained[1].items():
        model.set_weights(weights)
        found[step] = np.asarray(model(x, training=False))
    return found


def test_the_pages_come_with_each_evaluation(trained: Trained) -> None:
    for tag in (
        "misclassified",
        "confusion_matrix",
        "conv1/filters",
        "pr_curves/class_0/pr_curves",
        "pr_curves/class_9/pr_curves",
    ):
        assert steps_of(trained[0], "validation", tag) == [3, 6], tag


def test_what_the_network_gets_wrong_has_its_caption(
    trained: Trained,
    scores: dict[int, np.ndarray],
    small_mnist: datasets.Splits,
) -> None:
    split = small_mnist.validation
    for step, value in written(trained[0])["validation"]["misclassified"]:
        predicted = scores[step].argmax(axis=1)
        wrong = np.flatnonzero(predicted != split.labels)[:12]
        found = images_of(value)
        assert len(found) == len(wrong)
        for picture, at in zip(found, wrong, strict=True):
            caption = f"true {split.labels[at]}, got {predicted[at]}"
            expected = pictures.add_caption(split.images[at], caption)
            np.testing.assert_array_equal(picture[:, :, 0], expected)


def test_captions_tell_classes_apart() -> None:
    image = np.zeros((28, 28), np.uint8)
    found = [
        pictures.add_caption(image, f"true {true}, got {got}")
        for true, got in ((4, 9), (9, 4), (4, 4))
    ]
    assert found[0].shape == (28 * 4 + 16, 28 * 4)
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    # The image itself is above, four times as large.
    assert (found[0][: 28 * 4] == 0).all()


def test_without_a_mistake_there_is_no_picture() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    labels = np.array([1, 2, 3], np.uint8)
    found = pictures.draw_misclassified(images, labels, labels.astype(int), 5)
    assert found.shape == (0, 128, 112, 1)


def test_the_confusion_matrix_counts_pairs() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2], np.uint8)
    predicted = np.array([0, 2, 1, 2, 2, 0])
    counts = pictures.count_confusions(labels, predicted, 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 2]]


def test_the_picture_of_the_matrix_is_of_these_predictions(
    trained: Trained,
    scores: dict[int, np.ndarray],
    small_mnist: datasets.Splits,
) -> None:
    labels = small_mnist.validation.labels
    points = written(trained[0])["validation"]["confusion_matrix"]
    assert len(points) == 2
    for step, value in points:
        counts = np.zeros((10, 10), np.int64)
        np.add.at(counts, (labels, scores[step].argmax(axis=1)), 1)
        (picture,) = images_of(value)
        expected = pictures.draw_confusions(counts)[0]
        np.testing.assert_array_equal(picture, expected)


def test_the_words_of_the_matrix_fit_their_cell() -> None:
    [picture] = pictures.draw_confusions(np.eye(10, dtype=np.int64))
    cell = picture[: pictures.CELL, : pictures.CELL, 0]
    edges = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
    assert cell.min() < 128
    assert edges.min() == 255


def test_a_cell_is_darker_the_larger_its_part_of_the_row() -> None:
    counts = np.array([[8, 2], [0, 5]])
    picture = pictures.draw_confusions(counts)[0, :, :, 0]
    # A corner of each cell, where no number stands.
    shades = [[picture[r * 40 + 2, c * 40 + 2] for c in (1, 2)] for r in (1, 2)]
    assert shades[0][0] < shades[0][1] < 255
    assert shades[1] == [255, 0]


def test_each_filter_is_scaled_to_the_whole_range(trained: Trained) -> None:
    folder, weights = trained
    for step, value in written(folder)["validation"]["conv1/filters"]:
        (grid,) = images_of(value)
        kernel = weights[step][0]
        # Side by side, each in a frame of one pixel.
        size = 8 * kernel.shape[0] + 2
        for number in range(kernel.shape[-1]):
            row, column = divmod(number, 2)
            cell = grid[size * row :, size * column :][:size, :size]
            picture = cell[1:-1, 1:-1]
            assert (picture.min(), picture.max()) == (0, 255)
            plain = kernel[:, :, 0, number]
            scaled = (plain - plain.min()) / np.ptp(plain) * 255
            # Each weight is a square of 8 pixels.
            small = picture[::8, ::8, 0]
            np.testing.assert_allclose(small, scaled, atol=1)


def test_a_filter_of_several_inputs_is_their_mean() -> None:
    kernel = np.arange(2 * 2 * 3 * 1, dtype=float).reshape(2, 2, 3, 1)
    (image,) = pictures.draw_filters(kernel)
    assert image.shape == (18, 18, 1)
    assert image[1:-1:8, 1:-1:8, 0].tolist() == [[0, 85], [170, 255]]
    # A filter without any difference is no division by zero.
    assert np.isfinite(pictures.draw_filters(np.ones((2, 2, 1, 1)))).all()


def test_precision_and_recall_are_those_of_numpy(
    trained: Trained,
    scores: dict[int, np.ndarray],
    small_mnist: datasets.Splits,
) -> None:
    labels = small_mnist.validation.labels
    thresholds = np.linspace(0, 1, 101)
    for number in (0, 3):
        tag = f"pr_curves/class_{number}/pr_curves"
        points = written(trained[0])["validation"][tag]
        assert len(points) == 2
        for step, value in points:
            is_class = labels == number
            named = scores[step][:, number, None] >= thresholds
            true_positives = (named & is_class[:, None]).sum(axis=0)
            recall = true_positives / is_class.sum()
            precision = true_positives / np.maximum(named.sum(axis=0), 1)
            assert value.shape == (6, 101)
            np.testing.assert_array_equal(value[0], true_positives)
            np.testing.assert_allclose(value[4], precision, atol=1e-6)
            np.testing.assert_allclose(value[5], recall, atol=1e-6)


def test_logits_become_probabilities() -> None:
    logits = np.array([[2.0, -1.0, 0.0], [1000.0, 0.0, 0.0]])
    found = as_probabilities(logits)
    np.testing.assert_allclose(found, tf.nn.softmax(logits), atol=1e-12)
    probabilities = np.array([[0.2, 0.8], [0.0, 1.0]])
    np.testing.assert_array_equal(
        as_probabilities(probabilities), probabilities
    )


@pytest.mark.fault("B37")
def test_the_projector_has_points_with_labels_and_pictures(
    trained: Trained, small_mnist: datasets.Splits
) -> None:
    folder, weights = trained
    folder = folder / "validation"
    text = (folder / "projector_config.pbtxt").read_text()
    config = text_format.Parse(text, projector.ProjectorConfig())
    (embedding,) = config.embeddings
    split = small_mnist.validation
    features = np.loadtxt(folder / embedding.tensor_path, delimiter="\t")
    labels = np.loadtxt(folder / embedding.metadata_path)
    sprite = tf.io.decode_png(
        (folder / embedding.sprite.image_path).read_bytes()
    ).numpy()
    assert list(embedding.sprite.single_image_dim) == [28, 28]
    np.testing.assert_array_equal(labels, split.labels)
    # What goes into the last dense layer, written with five digits.
    model = image_model()
    model.set_weights(weights[6])
    x, _ = image_arrays(split)
    flat = np.asarray(model.get_layer("conv1")(x)).reshape(len(split), -1)
    assert features.shape == flat.shape
    np.testing.assert_allclose(features, flat, rtol=1e-4, atol=1e-5)
    # 200 images in a square of 15 rows of 15, dark on white.
    assert sprite.shape == (15 * 28, 15 * 28, 1)
    np.testing.assert_array_equal(
        sprite[28:56, 2 * 28 : 3 * 28, 0], 255 - split.images[15 + 2]
    )


def test_the_pages_stand_beside_the_first_evaluation(
    tmp_path: Path, small_mnist: datasets.Splits
) -> None:
    image_model().fit(
        image_batches(small_mnist.train),
        steps_per_epoch=2,
        callbacks=[
            TensorBoard(tmp_path, data=small_mnist.test[:50]),
            StepEvaluation(small_mnist.test, eval_freq=1, prefix="test"),
            StepEvaluation(small_mnist.validation, eval_freq=2),
        ],
        verbose=0,
    )
    runs = written(tmp_path)
    assert set(runs) == {"train", "test", "validation"}
    assert steps_of(tmp_path, "test", "loss") == [1, 2]
    assert steps_of(tmp_path, "test", "confusion_matrix") == [1, 2]
    assert set(runs["validation"]) == {"loss", "accuracy"}
    assert (tmp_path / "test" / "projector_config.pbtxt").exists()


def test_without_an_evaluation_there_are_points_all_the_same(
    tmp_path: Path, small_mnist: datasets.Splits
) -> None:
    image_model().fit(
        image_batches(small_mnist.train),
        steps_per_epoch=1,
        callbacks=[TensorBoard(tmp_path, data=small_mnist.test[:50])],
        verbose=0,
    )
    assert (tmp_path / "validation" / "projector_config.pbtxt").exists()
    # The dashboard lists a folder that has an event file.
    assert list((tmp_path / "validation").glob("events.out.tfevents.*"))
