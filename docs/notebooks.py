"""Makes notebooks of the lesson pages: the pages are the one source.

    python docs/notebooks.py build/notebooks

A block of `python` or `python figure` becomes a code cell. The `text` after it,
which says what it prints, is left out, because the cell prints it. Everything
else is Markdown. `docs/conf.py` uses the same rules for the site.
"""

import ast
from collections.abc import Iterator
import json
import os
from pathlib import Path
import re
import sys

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tests.gates import markdown  # noqa: E402 (after the checkout is found)

# The pages of the course's eight notebooks and scripts, under its names.
COURSE = {
    "perceptron": "one_layer_train",
    "gradients": "one_layer_compute_gradients",
    "saving": "one_layer_load",
    "tensorboard": "one_layer_board",
    "graph": "computational_graph_py",
    "cnn": "convnet_train",
    "trained_cnn": "convnet_load_model",
    "distribution": "multi_gpu",
}
# All pages that are notebooks, with the name of the notebook.
NOTEBOOKS = COURSE | {
    name: name for name in ("data", "dropout", "early_stopping", "slide_errors")
}
EXECUTED = ("python", "python figure")
INTRODUCTION = """\
*Made from the page `docs/{page}.md` of keras_port. To run it, install
`keras_port[docs]`, which has matplotlib and the kernel of Jupyter:*

```sh
pip install 'keras_port[docs]'
```
"""
# A link to another page or file of the checkout, not to a heading of this page.
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)")


def cells(page: Path) -> Iterator[tuple[str, str]]:
    """Yields the cells of a page, `("code", text)` or `("markdown", text)`."""
    lines = page.read_text().splitlines()
    blocks = markdown.blocks(page)
    done = 0
    for block in blocks:
        if block.info not in EXECUTED:
            continue
        if text := "\n".join(lines[done : block.line - 2]).strip("\n"):
            yield "markdown", text
        yield "code", silence(block.code.strip("\n"))
        done = block.line + block.code.count("\n")
        if block.output is not None:
            # An empty line, the two fences and what is between them.
            done += 3 + block.output.count("\n")
    if text := "\n".join(lines[done:]).strip("\n"):
        yield "markdown", text


def silence(code: str) -> str:
    """Ends a cell with a semicolon if Jupyter would show its last value.

    The pages print what is to be seen; a `History` or a list of ticks is not.
    """
    last = ast.parse(code).body[-1]
    if not isinstance(last, ast.Expr) or ast.unparse(last).startswith("print("):
        return code
    lines = code.encode().splitlines(keepends=True)
    end = sum(map(len, lines[: (last.end_lineno or 1) - 1]))
    end += last.end_col_offset or 0
    return (code.encode()[:end] + b";" + code.encode()[end:]).decode()


def notebook(page: Path) -> dict[str, object]:
    """Returns a page as a notebook of Jupyter, format 4.5."""
    title = page.read_text().partition("\n")[0]
    if not title.startswith("# "):
        raise ValueError(f"{page} does not open with a title: {title!r}")
    made = []
    for number, (kind, text) in enumerate(cells(page)):
        shown = follow(text) if kind == "markdown" else text
        if not number:
            introduction = INTRODUCTION.format(page=page.stem)
            shown = shown.replace(title, f"{title}\n\n{introduction}", 1)
        cell = {
            "cell_type": kind,
            "id": f"{page.stem}-{number}",
            "metadata": {},
            "source": shown.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell)
    return {
        "cells": made,
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def follow(text: str) -> str:
    """Makes links to other pages links to the site, or plain text.

    A notebook that was downloaded has no files beside it. On GitHub the name of
    the repository says where the site is.
    """
    owner, _, name = os.environ.get("GITHUB_REPOSITORY", "").partition("/")

    def replace(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        path, _, anchor = target.partition("#")
        if picture or not name or not path.endswith(".md") or ".." in path:
            return "" if picture else label
        url = (
            f"https://{owner}.github.io/{name}/{path.removesuffix('.md')}.html"
        )
        return f"[{label}]({url}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(replace, text)


def write(directory: Path) -> list[Path]:
    """Writes all notebooks into a directory and returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for page, name in NOTEBOOKS.items():
        path = directory / f"{name}.ipynb"
        made = notebook(DOCS / f"{page}.md")
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for written_path in write(Path(sys.argv[1])):
        print(written_path)
