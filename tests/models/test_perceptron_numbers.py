"""Lesson 1 agrees with its TensorFlow 1 graph, number by number."""

from collections.abc import Iterator
import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.losses import CourseCrossEntropy
from keras_port.models import ImageModel
from keras_port.models import build_perceptron
from tests import course_graphs
from tests.course_graphs import CourseGraph
from tests.course_graphs import assert_agree

# Losses are about 0.2 and float32 has 24 bits, so one rounding is 1e-8. The
# course's logarithm of a softmax and our fused cross entropy round apart in
# each of some ten operations, and 100 steps add up to less than this.
FLOAT32 = 1e-6
# The figures of the course are float32 printed with 8 digits: next to 0.23 a
# float32 and the following one differ by 1.5e-8, and half a digit is 0.5e-8.
PRINTED = 2e-8


@pytest.fixture
def graph() -> Iterator[CourseGraph]:
    graph = course_graphs.perceptron()
    with contextlib.closing(graph.session):
        yield graph


def perceptron() -> ImageModel:
    """Returns our model, compiled as the course trains it."""
    model = build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(0.01),
        loss=CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def five_images(splits: datasets.Splits) -> tuple[np.ndarray, np.ndarray]:
    """Returns a batch of 5 with the labels of the course's own.

    The course drew its batch at random. It shows the labels and the first
    image, which is number 45,129 of the training split; the other four are not
    known, and the first of each class stand for them.
    """
    labels = splits.train.labels
    chosen = [45_129, *(int(np.argmax(labels == k)) for k in (1, 9, 6, 8))]
    images = datasets.scale_pixels(splits.train.images[chosen])
    return images.reshape(5, 784), np.eye(10, dtype="float32")[labels[chosen]]


def test_100_steps_give_the_losses_and_weights_of_tensorflow_1(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    model = perceptron()
    train = mnist.train[:]
    expected, losses = [], []
    for _ in range(100):
        x, y = train.next_batch(100)
        expected.append(graph.train(x, y))
        model.train_on_batch(x, y)
        losses.append(model.batch_loss)
    assert_agree(losses, expected, atol=FLOAT32)
    # Not two constants: the loss falls by thousands of times the tolerance.
    assert losses[-1] < losses[0] - 5000 * FLOAT32
    for ours, theirs in zip(model.get_weights(), graph.weights(), strict=True):
        assert_agree(ours, theirs, atol=FLOAT32)


def test_the_comparison_notices_another_learning_rate(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    model = perceptron()
    model.optimizer.learning_rate = 0.0101
    x, y = mnist.train[:].next_batch(100)
    for _ in range(3):
        expected = graph.train(x, y)
        model.train_on_batch(x, y)
    with pytest.raises(AssertionError):
        assert_agree(model.batch_loss, expected, atol=FLOAT32)


def test_the_comparison_notices_nan() -> None:
    with pytest.raises(AssertionError):
        assert_agree([np.nan, 1.0], [np.nan, 1.0], atol=FLOAT32)


def test_each_value_before_training_is_that_of_the_lesson(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    x, y = five_images(mnist)
    assert y.argmax(axis=1).tolist() == [7, 1, 9, 6, 8]
    model = perceptron()
    # x W + b is 0 for weights of zeros, exactly.
    logits = keras.Model(model.input, model.get_layer("fc").output)(x)
    np.testing.assert_array_equal(logits, np.zeros((5, 10)))
    np.testing.assert_array_equal(logits, graph.run(graph.logits, x, y))
    outputs = model(x)
    # exp(0) / 10 is the float32 next to 0.1 in both.
    np.testing.assert_array_equal(outputs, np.full((5, 10), 0.1, "float32"))
    np.testing.assert_array_equal(outputs, graph.run(graph.outputs, x, y))
    products = y * np.log(outputs)
    assert products.min() == pytest.approx(-2.30258512, abs=1e-7)
    assert np.count_nonzero(products) == 5
    loss = float(model.compute_gradients(x, y).loss)
    assert loss == pytest.approx(0.23025849, abs=PRINTED)
    assert graph.run(graph.loss, x, y) == pytest.approx(loss, abs=PRINTED)


def test_one_step_on_five_images_learns_all_five(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    x, y = five_images(mnist)
    model = perceptron()
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == 0
    model.train_on_batch(x, y)
    graph.train(x, y)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert results["accuracy"] == 1.0
    # The course saw 0.22899514, with four other images: batches of five give
    # 0.2289 to 0.2292.
    assert results["loss"] == pytest.approx(0.22899514, abs=2e-4)
    assert results["loss"] < 0.2295 < 0.23025849
    expected = graph.run(graph.loss, x, y)
    assert results["loss"] == pytest.approx(expected, abs=FLOAT32)


def test_gradients_are_those_of_tensorflow_1(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    x, y = mnist.train[:].next_batch(100)
    model = perceptron()
    pairs = model.compute_gradients(x, y).grads_and_vars
    expected = graph.run(graph.gradients, x, y)
    for (ours, _), theirs in zip(pairs, expected, strict=True):
        assert_agree(ours, theirs, rtol=FLOAT32)


def test_accuracy_of_the_lesson_by_hand_is_three_quarters() -> None:
    y = [[0.1, 0.7, 0.2], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.5, 0.2, 0.3]]
    labels = [1, 0, 2, 1]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        one_hot = tf.one_hot(labels, 3)
        correct = tf.equal(tf.argmax(y, 1), tf.argmax(one_hot, 1))
        mean = tf.reduce_mean(tf.cast(correct, tf.float32))
        flags, accuracy = session.run([correct, mean])
    assert flags.tolist() == [True, True, True, False]
    assert accuracy == 0.75
    # What `metrics=["accuracy"]` stands for, by the shape of the labels.
    sparse = keras.metrics.SparseCategoricalAccuracy()
    categorical = keras.metrics.CategoricalAccuracy()
    assert float(sparse(labels, y)) == 0.75
    assert float(categorical(np.eye(3)[labels], y)) == 0.75
