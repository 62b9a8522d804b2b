"""The notebooks and the site have what the pages have."""

from pathlib import Path

import pytest

from docs import notebooks
from tests.gates import checkout
from tests.gates import markdown

DOCS = checkout.ROOT / "docs"


def test_the_course_has_eight_notebooks() -> None:
    assert len(notebooks.COURSE) == 8
    assert notebooks.COURSE.items() <= notebooks.NOTEBOOKS.items()


def test_the_site_has_every_page() -> None:
    # Sphinx warns as well, but is not part of these tests.
    listed = [
        line.rpartition(" <")[2].removesuffix(">")
        for block in markdown.blocks(DOCS / "index.md")
        for line in block.code.splitlines()
        if line and not line.startswith(":")
    ]
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert sorted(listed) == sorted(pages | {"api/index"})


def test_every_page_with_figures_is_a_notebook() -> None:
    drawing = {
        page.stem
        for page in checkout.pages()
        if any(block.info == "python figure" for block in markdown.blocks(page))
    }
    assert drawing <= notebooks.NOTEBOOKS.keys()


@pytest.mark.parametrize("page", notebooks.NOTEBOOKS)
def test_a_notebook_has_the_code_and_the_text_of_its_page(page: str) -> None:
    path = DOCS / f"{page}.md"
    cells = list(notebooks.cells(path))
    blocks = [
        block
        for block in markdown.blocks(path)
        if block.info in notebooks.EXECUTED
    ]
    code = [text for kind, text in cells if kind == "code"]
    assert code == [
        notebooks.silence(block.code.strip("\n")) for block in blocks
    ]

    # The rest is there line by line, but for the outputs and the fences.
    prose = [text for kind, text in cells if kind == "markdown"]
    outputs = sum(
        block.output.count("\n") + 2
        for block in blocks
        if block.output is not None
    )
    fences = sum(block.code.count("\n") + 2 for block in blocks)
    filled = [line for line in path.read_text().splitlines() if line]
    left = [line for text in prose for line in text.splitlines() if line]
    empty = sum(
        not line
        for block in blocks
        for line in (block.code + (block.output or "")).splitlines()
    )
    assert len(left) == len(filled) - outputs - fences + empty


@pytest.mark.parametrize(
    ("code", "silenced"),
    [
        ("model.fit(x, y)", "model.fit(x, y);"),
        ("axis.set(\n    title=1\n)", "axis.set(\n    title=1\n);"),
        ("print(x)", "print(x)"),
        ("x = f(y)", "x = f(y)"),
        ("for a in b:\n    f(a)", "for a in b:\n    f(a)"),
        ("f(x)  # (A comment.)", "f(x);  # (A comment.)"),
    ],
)
def test_a_cell_shows_only_what_it_prints(code: str, silenced: str) -> None:
    assert notebooks.silence(code) == silenced


def test_a_notebook_has_no_links_to_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    text = "[a](cnn.md#b) and [c\nd](../README.md), [e](https://keras.io)"
    assert notebooks.follow(text) == "a and c\nd, [e](https://keras.io)"
    monkeypatch.setenv("GITHUB_REPOSITORY", "me/port")
    assert notebooks.follow("[a](cnn.md#b)") == (
        "[a](https://me.github.io/port/cnn.html#b)"
    )


def test_the_notebooks_are_written(tmp_path: Path) -> None:
    written = notebooks.write(tmp_path / "new")
    assert {path.stem for path in written} == set(notebooks.NOTEBOOKS.values())
    assert all(path.suffix == ".ipynb" for path in written)
