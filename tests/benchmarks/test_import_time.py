"""The benchmark of the import runs and reports what it says."""

import subprocess

import pytest

from benchmarks import import_time

# What takes no second; the real statements take ten.
QUICK = {"base": "pass", "more": "import time; time.sleep(0.2)"}


def test_each_statement_is_timed_in_processes_of_its_own() -> None:
    [table] = import_time.measure(2, QUICK).tables
    assert {kind: len(times) for kind, times in table.values.items()} == {
        "base": 2,
        "more": 2,
    }
    assert import_time.difference(table.values) >= 150
    assert table.notes[0].startswith("Median of the differences: ")


def test_the_difference_is_the_median_of_the_rounds() -> None:
    times = {"keras": [100.0, 900.0, 110.0], "keras_port": [130.0, 950, 150.0]}
    assert import_time.difference(times) == 40


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
