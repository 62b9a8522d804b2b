"""The course's two programs and ours take over from each other."""

from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.checkpoints import load_tf1_checkpoint
from keras_port.checkpoints import save_tf1_checkpoint
from keras_port.losses import CourseCrossEntropy
from keras_port.models import ImageModel
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.optimizers import Adam
from tests.tf1 import course_graphs
from tests.tf1.course_graphs import CourseGraph

v1 = tf.compat.v1
LESSONS = ["perceptron", "cnn"]
STEPS = 50
# Relative to the largest loss: float32 has 6e-8, and the two programs round
# apart in a few operations of each step. A lost slot or step count shows at
# 1e-3 and more.
LOSSES = 2e-6
PREDICTIONS = 1e-6


@pytest.fixture
def lesson(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Yields the course's graph and our model, compiled as in the course."""
    graph: CourseGraph = getattr(course_graphs, request.param)()
    if request.param == "perceptron":
        model = build_perceptron()
        model.compile(keras.optimizers.SGD(0.01), CourseCrossEntropy())
    else:
        # Without dropout, whose masks no two programs share.
        model = build_cnn(dropout_rate=0.0)
        model.compile(Adam(1e-4), CourseCrossEntropy("sum"))
    with contextlib.closing(graph.session):
        yield graph, model


Batches = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def batches(mnist: datasets.Splits) -> Batches:
    """Returns small batches, so that the CNN is quick."""
    train = mnist.train[:1000]
    return [train.next_batch(5) for _ in range(STEPS + 20)]


def train_keras(model: ImageModel, batches: Batches) -> list[float]:
    """Returns the loss before each update."""
    losses = []
    for x, y in batches:
        model.train_on_batch(x, y)
        losses.append(float(model.batch_loss))
    return losses


def train_tf1(graph: CourseGraph, batches: Batches) -> list[float]:
    """Returns the loss before each update."""
    return [graph.train(x, y) for x, y in batches]


def largest_difference(one: list[float], other: list[float]) -> float:
    """Returns the largest difference, relative to the largest loss."""
    difference = np.abs(np.subtract(one, other)).max()
    return float(difference / np.abs(other).max())


@pytest.mark.fault("B59")
@pytest.mark.parametrize("lesson", LESSONS, indirect=True)
def test_keras_goes_on_with_the_course_s_checkpoint(
    tmp_path: Path, lesson: tuple[CourseGraph, ImageModel], batches: Batches
) -> None:
    graph, model = lesson
    train_tf1(graph, batches[:20])
    with graph.session.graph.as_default():
        v1.train.Saver().save(graph.session, str(tmp_path / "model.ckpt"))
    (tmp_path / "model.ckpt.meta").unlink()
    report = load_tf1_checkpoint(model, tmp_path)
    assert report.missing == report.misshaped == report.unused == ()
    x, y = batches[0]
    expected = graph.run(graph.outputs, x, y)
    assert np.abs(model(x).numpy() - expected).max() <= PREDICTIONS
    if report.step is not None:
        assert report.step == 20
    ours = train_keras(model, batches[20:])
    theirs = train_tf1(graph, batches[20:])
    assert largest_difference(ours, theirs) <= LOSSES


@pytest.mark.fault("B60")
@pytest.mark.parametrize("lesson", LESSONS, indirect=True)
def test_the_course_s_program_goes_on_with_ours(
    tmp_path: Path, lesson: tuple[CourseGraph, ImageModel], batches: Batches
) -> None:
    graph, model = lesson
    train_keras(model, batches[:20])
    save_tf1_checkpoint(model, tmp_path / "model.ckpt")
    with graph.session.graph.as_default():
        v1.train.Saver().restore(graph.session, str(tmp_path / "model.ckpt"))
    x, y = batches[0]
    found = graph.run(graph.outputs, x, y)
    assert np.abs(found - model(x).numpy()).max() <= PREDICTIONS
    ours = train_keras(model, batches[20:])
    theirs = train_tf1(graph, batches[20:])
    assert largest_difference(theirs, ours) <= LOSSES
