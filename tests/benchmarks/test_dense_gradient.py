"""The benchmark of the dense layer's gradient runs and reports."""

import numpy as np
import tensorflow as tf

from benchmarks import dense_gradient


def test_both_ways_are_measured_for_each_size() -> None:
    sizes = [(4, 3, 2), (5, 3, 2)]
    tables = dense_gradient.measure(sizes, calls=2, rounds=1).tables
    assert [table.title for table in tables] == [
        "4 examples, 3 inputs, 2 units",
        "5 examples, 3 inputs, 2 units",
    ]
    for table in tables:
        assert list(table.values) == ["stock", "transposed"]
        assert all(value > 0 for [value] in table.values.values())


def test_both_ways_give_the_same_gradient() -> None:
    w, dy = (tf.random.stateless_normal((4, 3), (n, n)) for n in (1, 2))
    expected = dy.numpy() @ w.numpy().T
    for way in (
        dense_gradient.compute_stock_gradient,
        dense_gradient.compute_transposed_gradient,
    ):
        np.testing.assert_allclose(way(w, dy), expected, atol=1e-6)
