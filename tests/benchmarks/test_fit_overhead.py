"""The benchmark of `fit` runs and reports what it says."""

import pytest

from benchmarks import fit_overhead
from keras_port import datasets


def test_each_kind_is_measured_in_each_round(
    small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "load_mnist", lambda: small_mnist)
    # Three steps are three calls; the first one of a training is left out.
    [table] = fit_overhead.measure(3, 1).tables
    assert list(table.values) == ["bare", "steps", "tf1", "train_cnn"]
    for rates in table.values.values():
        assert len(rates) == 1
        assert rates[0] > 0
    assert table.bases == ("bare", "tf1")
