"""Our quick histograms are those of `tf.summary.histogram`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks.tensorboard.histogram import buckets
from keras_port.callbacks.tensorboard.histogram import write_histogram
from tests.callbacks.tensorboard.written import written

NORMAL = np.random.default_rng(1).normal(size=(40, 50))
VALUES = {
    "normal": NORMAL.astype("float32"),
    "64 bits": NORMAL,
    "16 bits": NORMAL.astype("float16"),
    "half zeros": np.maximum(NORMAL, 0).astype("float32"),
    "integers": np.arange(100) % 7,
    "equal": np.full(5, 0.1, "float32"),
    "zeros": np.zeros((2, 3), "float32"),
    "one": np.float32(3),
    "empty": np.zeros((0, 4), "float32"),
    "far from zero": 1e6 + np.arange(64, dtype="float32"),
    "wide": np.float32([-3e38, 0, 3e38]),
}


@pytest.mark.parametrize("name", VALUES)
def test_file_holds_what_the_slow_way_writes(name: str, tmp_path: Path) -> None:
    values = tf.constant(VALUES[name])
    step = tf.constant(7, tf.int64)
    with tf.summary.create_file_writer(str(tmp_path / "run")).as_default():
        write_histogram("ours", values, step)
        tf.summary.histogram("theirs", values, step)
    found = written(tmp_path)["run"]
    ((our_step, ours),) = found["ours"]
    ((_, theirs),) = found["theirs"]
    assert our_step == 7
    assert ours[:, 2].sum() == values.shape.num_elements()
    np.testing.assert_array_equal(ours[:, 2], theirs[:, 2])
    # The last bit of an edge differs between eager and graph.
    last_bit = 1e-15 * np.abs(theirs[:, :2]).max()
    np.testing.assert_allclose(ours, theirs, rtol=1e-15, atol=last_bit)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("function", [buckets, tf.function(buckets)])
def test_values_that_are_not_finite_are_left_out(
    odd: float, function: Any
) -> None:
    values = np.float32([0, odd, 1, 2, odd, 3])
    kept = values[np.isfinite(values)]
    expected = buckets(kept)
    # The last bit of an edge differs between eager and graph.
    np.testing.assert_allclose(function(values), expected, rtol=1e-15)
    nothing = function(np.float32([odd, odd]))
    np.testing.assert_array_equal(nothing, np.zeros((30, 3)))


def test_values_whose_sum_overflows_are_counted() -> None:
    counts = buckets(np.float32([3e38, 3e38, 0, 1e38]))[:, 2].numpy()
    assert (counts.sum(), counts[0], counts[-1]) == (4, 1, 2)
