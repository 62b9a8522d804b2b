"""The benchmark of one evaluation runs and reports what it says."""

import pytest

from benchmarks import evaluation
from benchmarks.peers.work import Work
from keras_port import datasets
from tests.benchmarks.small_work import small_data


@pytest.mark.slow
def test_each_kind_evaluates(
    small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last of them is more than there is.
    monkeypatch.setattr(evaluation, "SIZES", (8, 16, 64))
    images = small_data(small_mnist).validation
    table = evaluation.measure(Work(), images, rounds=1)
    assert list(table.values) == ["keras_port", "forward", "keras"]
    assert all(value > 0 for [value] in table.values.values())
    assert table.bases == ("forward",)
    assert table.notes[0] in {
        f"forward and keras: slices of {size} images." for size in (8, 16)
    }
