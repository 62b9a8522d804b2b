"""The benchmark of the callbacks runs and reports what it says."""

from benchmarks import callback_cost
from keras_port import datasets


def test_each_kind_is_measured(small_mnist: datasets.Splits) -> None:
    report = callback_cost.measure(
        small_mnist, steps=2, rounds=1, memory_steps=0, batch_size=4
    )
    assert list(report.seconds) == [
        "plain",
        "scalars",
        "everything",
        "keras",
        "state",
    ]
    assert all(value > 0 for [value] in report.seconds.values())


def test_the_table_shows_medians_of_ratios() -> None:
    seconds = {"plain": [1.0, 2.0, 4.0], "state": [2.0, 2.0, 6.0]}
    table = callback_cost.Report(seconds, [], {}, "machine").table()
    assert table.splitlines()[2:] == [
        "| plain | 2.00 | 1.000 |",
        "| state | 2.00 | 1.500 |",
    ]


def test_the_memory_of_the_process_is_read() -> None:
    assert 50 < callback_cost.resident_size() < 100_000
