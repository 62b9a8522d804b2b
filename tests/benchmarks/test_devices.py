"""The benchmark of several devices runs and reports what it says."""

import pytest

from benchmarks import devices
from keras_port import datasets


@pytest.mark.slow
def test_each_kind_is_measured(
    small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests divide the CPU into four.
    monkeypatch.setattr(devices, "COUNTS", (1, 2))
    trained, added = devices.measure(
        small_mnist, steps=1, rounds=1, batch_size=4
    ).tables
    assert list(trained.values) == list(devices.KINDS)
    assert list(added.values) == ["1 devices", "2 devices"]
    for table in (trained, added):
        assert all(value > 0 for [value] in table.values.values())
