"""Lesson 3 agrees with its TensorFlow 1 graph, number by number."""

from collections.abc import Iterator
import contextlib

import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.losses import CourseCrossEntropy
from keras_port.models import ImageModel
from keras_port.models import build_cnn
from keras_port.optimizers import Adam
from tests import course_graphs
from tests.course_graphs import CourseGraph
from tests.course_graphs import assert_agree

# Probabilities are at most 1 and logits about 10, which float32 rounds to 5e-7.
# On the same batch the two programs round alike. On other batches the sums of
# 800 or 3,136 products have another order, and TensorFlow 1 differs from itself
# by more than this: so 100 images at once.
PREDICTIONS = 1e-6
# Sums over 100 images and up to 784 places of an image, each product rounded
# to 6e-8: relative to the largest element, a hundred roundings.
GRADIENTS = 1e-5
# float64 rounds to 1e-16. 100 steps through relu and max pooling multiply that
# by less than a million; a formula that differed anywhere, even in a float32
# hyper-parameter, would show at 1e-8 or more.
FLOAT64 = 1e-10


@pytest.fixture
def graph() -> Iterator[CourseGraph]:
    graph = course_graphs.cnn()
    with contextlib.closing(graph.session):
        yield graph


def cnn() -> ImageModel:
    """Returns our model without dropout, compiled as the course trains it."""
    model = build_cnn(dropout_rate=0.0)
    model.compile(optimizer=Adam(1e-4), loss=CourseCrossEntropy("sum"))
    return model


def predictions_differ(
    model: ImageModel, graph: CourseGraph, splits: datasets.Splits
) -> bool:
    """Tells whether the two predict something else for 100 images."""
    x, y = splits.train[:].next_batch(100)
    try:
        assert_agree(
            model.predict(x, batch_size=100, verbose=0),
            graph.run(graph.outputs, x, y),
            atol=PREDICTIONS,
        )
    except AssertionError:
        return True
    return False


def test_equal_weights_give_equal_predictions(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    model = cnn()
    graph.set_weights(model.get_weights())
    assert not predictions_differ(model, graph, mnist)


def test_a_changed_weight_of_any_layer_is_noticed(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    model = cnn()
    weights = model.get_weights()
    for number, weight in enumerate(weights):
        if number in (0, 2):
            # 5 x 5, so that a transposed kernel has the same shape.
            changed = np.swapaxes(weight, 0, 1)
        else:
            # One unit alone: a softmax does not see all logits grow alike.
            changed = weight.copy()
            changed[..., 0] += 0.001
        graph.set_weights([*weights[:number], changed, *weights[number + 1 :]])
        assert predictions_differ(model, graph, mnist), number


def test_gradients_of_each_variable_are_those_of_tensorflow_1(
    graph: CourseGraph, mnist: datasets.Splits
) -> None:
    model = cnn()
    graph.set_weights(model.get_weights())
    x, y = mnist.train[:].next_batch(100)
    result = model.compute_gradients(x, y)
    loss, expected = graph.run([graph.loss, graph.gradients], x, y)
    assert_agree(float(result.loss), loss, rtol=GRADIENTS)
    paths = [variable.path for _, variable in result.grads_and_vars]
    assert paths == [
        f"{layer}/{kind}"
        for layer in ("conv1", "conv2", "fc1", "fc2")
        for kind in ("kernel", "bias")
    ]
    for (ours, _), theirs in zip(result.grads_and_vars, expected, strict=True):
        assert_agree(ours, theirs, rtol=GRADIENTS)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "steps", [20, pytest.param(100, marks=pytest.mark.slow)]
)
def test_steps_of_adam_in_float64_give_the_losses_and_weights(
    mnist: datasets.Splits, steps: int
) -> None:
    model = cnn()
    before = model.get_weights()
    assert before[0].dtype == np.float64
    train = mnist.train[:]
    graph = course_graphs.cnn(tf.float64)
    with contextlib.closing(graph.session):
        graph.set_weights(before)
        losses, expected = [], []
        for _ in range(steps):
            # Each pixel as the same float64 in both.
            x, y = (part.astype("float64") for part in train.next_batch(8))
            expected.append(graph.train(x, y))
            model.train_on_batch(x, y)
            losses.append(model.batch_loss)
        after = graph.weights()
    assert_agree(losses, expected, rtol=FLOAT64)
    for ours, theirs, initial in zip(
        model.get_weights(), after, before, strict=True
    ):
        assert_agree(ours, theirs, atol=FLOAT64)
        # Each variable has moved by far more than the tolerance: Adam's first
        # step alone is 1e-4.
        assert np.abs(ours - initial).max() > 1e-4
