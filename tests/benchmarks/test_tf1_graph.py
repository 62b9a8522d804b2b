"""The benchmark of graphs runs, and reports medians."""

import pytest

from benchmarks import tf1_graph


@pytest.mark.slow
def test_each_kind_is_measured_in_each_round() -> None:
    report = tf1_graph.measure(operations=30, calls=1, rounds=2)
    assert report.operations >= 30
    assert len(report.convert) == 2
    assert list(report.calls) == ["function", "layer"]
    for seconds in report.calls.values():
        assert len(seconds) == 2
        assert min(seconds) > 0


def test_the_table_shows_medians_of_ratios() -> None:
    report = tf1_graph.Report(
        10_000,
        [1.0, 3.0, 2.0],
        {"function": [0.1, 0.2, 0.4], "layer": [0.2, 0.2, 0.2]},
        {},
        "machine",
    )
    assert report.table().splitlines()[2:] == [
        "| convert 10,000 operations | 2.00 s | |",
        "| call of the function | 200.00 ms | 1.000 |",
        "| call of the layer | 200.00 ms | 1.000 |",
    ]
