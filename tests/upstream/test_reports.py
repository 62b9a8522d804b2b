"""The faults of `docs/upstream` are there, on stock Keras and TensorFlow alone.

When a new version fixes one, its test fails: remove the page then, and whatever
this package does against the fault.
"""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from tests.gates import checkout
from tests.gates import markdown

FOLDER = checkout.ROOT / "docs" / "upstream"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "README")
SECTIONS = ["Script", "Expected", "Got", "Cause", "Fix"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_script_of_a_report_prints_what_the_page_says(
    page: Path, tmp_path: Path
) -> None:
    script, printed = markdown.blocks(page)
    assert (script.info, printed.info) == ("python upstream", "text")
    ended = subprocess.run(
        [sys.executable, "-c", script.code],
        cwd=tmp_path,
        env=os.environ
        | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == printed.code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_report_has_every_section_and_is_listed(page: Path) -> None:
    lines = page.read_text().splitlines()
    found = [line.removeprefix("## ") for line in lines if line[:3] == "## "]
    assert found == SECTIONS
    assert "keras_port" not in page.read_text()
    assert f"({page.name})" in (FOLDER / "README.md").read_text()
