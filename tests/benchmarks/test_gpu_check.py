"""The check of a GPU says what it found, and ends in time."""

import json
from pathlib import Path
import subprocess
import sys

import pytest

from benchmarks import gpu_check
from tests.benchmarks.flag_values import flag_values
from tests.gates import checkout

SCRIPT = checkout.ROOT / "benchmarks" / "gpu_check.py"


def test_a_value_is_on_one_side_of_its_limit() -> None:
    assert gpu_check.at_most("a", "b", 1.0, 1.0).is_good
    assert not gpu_check.at_most("a", "b", 1.1, 1.0).is_good
    assert gpu_check.at_least("a", "b", 1.0, 1.0).is_good
    assert not gpu_check.at_least("a", "b", 0.9, 1.0).is_good
    assert not gpu_check.at_least("a", "b", float("nan"), 1.0).is_good
    row = gpu_check.at_most("parity", "losses", 0.25, 1e-3).to_row()
    assert row == "| parity | losses | 0.25 | at most 0.001 | FAILED |"


def test_a_check_that_takes_too_long_is_an_outcome() -> None:
    with flag_values(speed_steps=1):
        [outcome] = gpu_check.run_check("resume", 0.2)
    assert not outcome.is_good
    assert outcome.subject == "not done after 0 s"


@pytest.mark.slow
def test_a_check_that_fails_says_why() -> None:
    with flag_values(speed_steps=-1):
        [outcome] = gpu_check.run_check("speed", 60.0)
    assert not outcome.is_good
    assert (outcome.value, outcome.limit) == (1, "exit code 0")


@pytest.mark.slow
def test_the_cpu_agrees_with_itself(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    ended = subprocess.run(
        [
            *(sys.executable, str(SCRIPT), f"--json={path}"),
            *("--check=parity", "--check=compiled"),
            *("--check=devices", "--check=resume"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    content = json.loads(path.read_text())
    assert [one["check"] for one in content["outcomes"]] == [
        *["parity"] * 4,
        *["compiled"] * 2,
        *["devices"] * 2,
        "resume",
    ]
    assert all(one["is_good"] for one in content["outcomes"])
