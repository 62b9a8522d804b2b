"""The recipes of the pages run, each in a process of its own.

They need the programs of others that stand in requirements.txt. A recipe whose
program is not installed is skipped.
"""

import ast
import importlib.util
from pathlib import Path
import subprocess
import sys

import pytest

from tests.gates import checkout
from tests.gates import markdown

PAGES = [
    checkout.ROOT / "docs" / name for name in ("other_tools.md", "export.md")
]


def sections(page: Path) -> dict[str, list[markdown.Block]]:
    """Returns the code of every section of a page, by its heading."""
    found: dict[str, list[markdown.Block]] = {}
    headings = [
        (number, text.removeprefix("## "))
        for number, text in markdown.prose(page)
        if text.startswith("## ")
    ]
    for block in markdown.blocks(page):
        if block.info in {"python", "python litert", "python tools"}:
            before = [text for line, text in headings if line < block.line]
            found.setdefault((before or [""])[-1], []).append(block)
    return found


SECTIONS = {page.name: sections(page) for page in PAGES}
RECIPES = [
    (page, heading)
    for page, found in SECTIONS.items()
    for heading, blocks in found.items()
    if any(block.info == "python tools" for block in blocks)
]


@pytest.mark.parametrize(("page", "heading"), RECIPES)
def test_a_recipe_runs(page: str, heading: str, tmp_path: Path) -> None:
    blocks = SECTIONS[page][heading]
    missing = sorted(
        name
        for name in imported_packages(blocks)
        if importlib.util.find_spec(name) is None
    )
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    # Programs that patch Keras, as mlflow does, leave the other tests alone.
    done = subprocess.run(
        [sys.executable, "-c", join(SECTIONS[page][""] + blocks)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def imported_packages(blocks: list[markdown.Block]) -> set[str]:
    """Returns the packages that blocks of code import."""
    return {
        name.partition(".")[0]
        for block in blocks
        for _, name in checkout.find_imports(ast.parse(block.code))
    }


def join(blocks: list[markdown.Block]) -> str:
    """Returns one program, in which every line has its number on the page."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - 1 - len(lines))
        lines += block.code.splitlines()
    return "\n".join(lines)
