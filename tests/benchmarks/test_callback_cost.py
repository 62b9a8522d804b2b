"""The benchmark of the callbacks runs and reports what it says."""

import pytest

from benchmarks import callback_cost
from keras_port import datasets


@pytest.mark.slow
def test_each_kind_is_measured(small_mnist: datasets.Splits) -> None:
    [table] = callback_cost.measure(
        small_mnist, steps=2, rounds=1, memory_steps=0, batch_size=4
    ).tables
    assert list(table.values) == callback_cost.KINDS
    assert all(value > 0 for [value] in table.values.values())
    assert table.bases == ("plain",)


def test_the_memory_of_the_process_is_read() -> None:
    assert 50 < callback_cost.resident_size() < 100_000
