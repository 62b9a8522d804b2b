"""The tables of names and flags in the pages are complete."""

import importlib
import re
import subprocess
import sys

import pytest

import keras_port
from tests.gates import checkout

README = checkout.ROOT / "docs" / "README.md"
CODE = re.compile(r"`([^`]+)`")
# A page with a table of flags, and the script whose flags it lists.
FLAG_TABLES = {"docs/cnn.md": "train_cnn.py"}


@pytest.mark.parametrize("folder", keras_port.__all__)
def test_the_table_of_names_lists_what_a_folder_exports(folder: str) -> None:
    text = README.read_text()
    row = re.search(rf"^\| `keras_port\.{folder}` \|(.*)\|$", text, re.M)
    assert row, f"docs/README.md has no row for `keras_port.{folder}`"
    exported = importlib.import_module(f"keras_port.{folder}").__all__
    assert sorted(CODE.findall(row[1])) == sorted(exported)


@pytest.mark.parametrize("page", FLAG_TABLES)
def test_the_table_of_flags_is_that_of_the_script(page: str) -> None:
    script = checkout.ROOT / "examples" / FLAG_TABLES[page]
    shown = subprocess.run(
        [sys.executable, str(script), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = re.findall(
        r"^\| `--(\w+)` \| (.*?) \|",
        (checkout.ROOT / page).read_text(),
        re.M,
    )
    assert dict(rows) == {
        name: format_default(default)
        for name, default in read_flags(shown).items()
    }


def test_every_reliance_has_a_row_and_every_row_its_test() -> None:
    page = (checkout.ROOT / "docs" / "design.md").read_text()
    section = page.partition("\n## What we lean on\n")[2]
    last_cells = re.findall(r"^\|.*\| ([^|]*) \|$", section, re.M)
    named = set(re.findall(r"`(test_\w+)`", "\n".join(last_cells)))
    defined = {
        name
        for path in checkout.sources("tests/reliances")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert named == defined


def read_flags(shown: str) -> dict[str, str]:
    """Returns the default of every flag that `--help` shows, or ""."""
    flags = {}
    for entry in re.split(r"^  --(?:\[no\])?(?=\w+:)", shown, flags=re.M)[1:]:
        default = re.search(r"^ +\(default: '(.*)'\)$", entry, re.M)
        flags[entry.partition(":")[0]] = default[1] if default else ""
    return flags


def format_default(default: str) -> str:
    """Returns a default as the tables show it: 20,000 or `runs/cnn`."""
    if default.isdecimal():
        return f"{int(default):,}"
    return f"`{default}`" if default else "none"
