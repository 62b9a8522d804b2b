"""Finds the files of this checkout."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re

ROOT = Path(__file__).resolve().parents[2]


def sources(*folders: str) -> list[Path]:
    """Returns the Python files in the folders, sorted."""
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py")
    )


def pages() -> list[Path]:
    """Returns the Markdown pages whose code and links are checked."""
    top = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    docs = sorted((ROOT / "docs").rglob("*.md"))
    return [path for path in top if path.exists()] + docs


def scripts() -> list[Path]:
    """Returns the examples that a user runs, without shared modules."""
    return [
        path
        for path in sorted((ROOT / "examples").glob("*.py"))
        if re.search(r'^if __name__ == "__main__":', path.read_text(), re.M)
    ]


def name(path: Path) -> str:
    """Returns the path relative to the top of the checkout."""
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    """Returns the syntax tree of a Python file."""
    return ast.parse(path.read_text(), filename=str(path))


def find_imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the line and the full name of everything that is imported.

    `from keras import layers` yields "keras.layers", so a submodule is found
    however it is imported.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"
