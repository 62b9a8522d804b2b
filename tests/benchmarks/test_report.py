"""The frame of the benchmarks: turns, medians, ratios, and where it was."""

import json
import pathlib
import sys

import pytest

from benchmarks import report
from tests.benchmarks.flag_values import flag_values

RATES = {"ours": [100.0, 900.0, 300.0], "other": [200.0, 100.0, 150.0]}


def test_each_round_after_the_warm_up_begins_with_another_kind() -> None:
    order: list[str] = []

    def measurement(kind: str) -> float:
        order.append(kind)
        return float(len(order))

    values = report.measure_in_turn(
        {"a": lambda: measurement("a"), "b": lambda: measurement("b")},
        2,
        warm_up=1,
    )
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert values == {"a": [4.0, 5.0], "b": [3.0, 6.0]}


def test_the_table_shows_medians_extremes_and_ratios_of_medians() -> None:
    table = report.Table("t", "examples/s", RATES, bases=("other",))
    assert table.to_markdown().splitlines() == [
        "| kind | examples/s | lowest | highest | of other |",
        "| --- | --- | --- | --- | --- |",
        "| ours | 300 | 100 | 900 | 2.000 |",
        "| other | 150 | 100 | 200 | 1.000 |",
    ]


@pytest.mark.parametrize(
    ("rates", "times"), [(True, "2.00"), (False, "0.50")], ids=["rate", "time"]
)
def test_twice_the_rate_or_half_the_time_is_twice_as_fast(
    rates: bool, times: str
) -> None:
    table = report.Table(
        "t", "u", RATES, subject="ours", higher_is_faster=rates
    )
    head, _, _, other = table.to_markdown().splitlines()
    assert head.endswith("| ours is times as fast |")
    assert other.endswith(f"| {times} |")
    assert table.to_json()["times_as_fast"]["other"] == float(times)


def test_a_report_keeps_every_number_and_where_it_was(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/where/speed.py", "--rounds=3"])
    file = tmp_path / "numbers.json"
    table = report.Table("Speed", "u", RATES, bases=("other",), notes=["Note."])
    with flag_values(json=str(file)):
        report.Report([table], {"python": "3.11"}).publish()
    printed = capsys.readouterr().out
    assert printed.startswith("Speed\n\n| kind |")
    assert "\n\nNote.\n\npython 3.11; " in printed
    content = json.loads(file.read_text())
    assert content["command"] == "speed.py --rounds=3"
    assert content["versions"] == {"python": "3.11"}
    assert content["machine"].endswith(f"{report.cores()} cores")
    assert content["date"][:4].isdigit()
    [numbers] = content["tables"]
    assert numbers["values"] == RATES
    assert numbers["medians"] == {"ours": 300, "other": 150}
    assert numbers["ratios"] == {"other": {"ours": 2, "other": 1}}


def test_the_versions_are_those_of_what_is_installed() -> None:
    found = report.versions(["absl-py", "no-such-package"])
    assert found["python"].split(".")[0] == "3"
    assert found["absl-py"]
    assert "no-such-package" not in found
