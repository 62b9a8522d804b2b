"""Every example shows its flags and has a test of its own."""

import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from tests.gates import checkout

SCRIPTS = checkout.scripts()
# Every start of a script imports TensorFlow: the help of the others is slow.
QUICK = ("convert_tf1_graph.py", "draw_digit.py", "train_cnn.py")
# All training scripts have these flags.
COMMON_FLAGS = (
    "workdir",
    "data_dir",
    "batch_size",
    "max_steps",
    "eval_freq",
    "patience",
    "learning_rate",
    "seed",
)


@pytest.mark.parametrize(
    "script",
    [
        script
        if script.name in QUICK
        else pytest.param(script, marks=pytest.mark.slow)
        for script in SCRIPTS
    ],
    ids=checkout.name,
)
def test_help_names_the_flags_of_a_script(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script), "--help"],
        # From another folder, as a user may.
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(checkout.ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r"^ +(?:-\w,)?--(?:\[no\])?(\w+):", done.stdout, re.M)
    assert shown, f"--help shows no flag:\n{done.stdout}"
    missing = sorted(set(find_flags(script)) - set(shown))
    assert not missing, f"--help does not name {missing}:\n{done.stdout}"


@pytest.mark.parametrize("script", SCRIPTS, ids=checkout.name)
def test_a_script_has_a_test_of_its_own(script: Path) -> None:
    test = checkout.ROOT / "tests" / "examples" / f"test_{script.name}"
    assert test.exists(), f"{checkout.name(test)} is missing"


def find_flags(script: Path) -> list[str]:
    """Returns the flags of a script: its own and those of every training."""
    own = re.findall(r"\bDEFINE_\w+\(\s*[\"'](\w+)[\"']", script.read_text())
    common = COMMON_FLAGS if script.name.startswith("train_") else ()
    return [*own, *common]
