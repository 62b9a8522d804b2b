"""The benchmark of `fit` runs and reports what it says."""

import pytest

from benchmarks import fit_overhead
from keras_port import datasets

KINDS = ["bare", "steps", "tf1", "train_cnn"]


def test_each_kind_is_measured_in_each_round(
    small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "load_mnist", lambda: small_mnist)
    # Three steps are three calls; the first one of a training is left out.
    report = fit_overhead.measure(3, 1)
    assert list(report.rates) == KINDS
    for rates in report.rates.values():
        assert len(rates) == 1
        assert rates[0] > 0
    assert report.table().count("\n") == 1 + len(KINDS)


def test_the_table_shows_medians_of_ratios() -> None:
    rates = {"bare": [100.0, 200.0, 400.0], "tf1": [50.0, 400.0, 400.0]}
    table = fit_overhead.Report(rates, {}, "machine").table()
    assert table.splitlines()[2:] == [
        "| bare | 200 | 1.00 | 1.00 |",
        "| tf1 | 400 | 1.00 | 1.00 |",
    ]
    rates["bare"] = [100.0, 800.0, 800.0]
    table = fit_overhead.Report(rates, {}, "machine").table()
    assert table.splitlines()[3] == "| tf1 | 400 | 0.50 | 1.00 |"
