"""Whole runs are commands, each with its number of seeds."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import time_to_accuracy

# Leaves results like a training, at once.
QUICK = """
import json, pathlib, sys
seed, folder = (argument.partition("=")[2] for argument in sys.argv[-2:])
results = {"steps": len(sys.argv), "test_accuracy": int(seed) / 10}
(pathlib.Path(folder) / "results.json").write_text(json.dumps(results))
"""


def test_each_kind_runs_with_its_seeds() -> None:
    told: list[Any] = []
    commands = {"fast": ["-c", QUICK, "--more"], "tf1": ["-c", QUICK]}
    seconds, accuracy, steps = time_to_accuracy.measure(
        commands, {"fast": 3, "tf1": 1}, done=lambda *run: told.append(run)
    ).tables
    assert [run[:2] for run in told] == [
        ("fast", 1),
        ("tf1", 1),
        ("fast", 2),
        ("fast", 3),
    ]
    assert accuracy.values == {"fast": [0.1, 0.2, 0.3], "tf1": [0.1]}
    assert steps.values == {"fast": [4, 4, 4], "tf1": [3]}
    assert all(value > 0 for value in seconds.values["fast"])
    assert seconds.times_as_fast("tf1") > 0


def test_a_run_is_shown_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    results = {"steps": 1100, "test_accuracy": 0.99316}
    time_to_accuracy.show("fast", 2, 30.04, results)
    assert capsys.readouterr().out == (
        "fast, seed 2: 30.0 s, 1,100 steps, test accuracy 0.9932\n"
    )


def test_the_scripts_that_are_started_are_there() -> None:
    for script, *_ in time_to_accuracy.COMMANDS.values():
        assert Path(script).exists()
