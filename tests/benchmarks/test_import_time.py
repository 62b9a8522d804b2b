"""The benchmark of the import runs and reports what it says."""

import subprocess

import pytest

from benchmarks import import_time

# What takes no second; the real statements take ten.
QUICK = {"base": "pass", "more": "import time; time.sleep(0.2)"}


def test_each_statement_is_timed_in_processes_of_its_own() -> None:
    report = import_time.measure(2, QUICK)
    assert {kind: len(times) for kind, times in report.times.items()} == {
        "base": 2,
        "more": 2,
    }
    assert report.difference >= 150
    assert report.table().splitlines()[-1].startswith("| difference | ")


def test_the_difference_is_the_median_of_the_rounds() -> None:
    times = {"keras": [100.0, 900.0, 110.0], "keras_port": [130.0, 950, 150.0]}
    report = import_time.Report(times, {})
    assert report.difference == 40
    assert report.table().splitlines()[2:] == [
        "| keras | 110 | 100 |",
        "| keras_port | 150 | 130 |",
        "| difference | 40 | |",
    ]


def test_the_statements_differ_in_the_package_alone() -> None:
    base, more = import_time.STATEMENTS.values()
    assert more == f"{base}, keras_port"
    # The checkout's package, from whatever folder it is started.
    import_time.milliseconds(
        "import importlib.util; "
        "spec = importlib.util.find_spec('keras_port'); "
        f"assert spec.origin.startswith({str(import_time.ROOT)!r})"
    )


def test_a_statement_that_fails_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        import_time.milliseconds("import no_such_module")
