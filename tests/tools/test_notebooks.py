"""The notebooks of the lessons run as they are, each in an empty directory.

They need the extra `docs`: `pip install -e '.[docs]'`.
"""

import json
from pathlib import Path

import pytest

from docs import notebooks
from tests.gates import checkout
from tests.gates import markdown


@pytest.mark.parametrize("page", notebooks.NOTEBOOKS)
def test_a_notebook_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for needed in ("ipykernel", "matplotlib"):
        pytest.importorskip(needed)
    path = checkout.ROOT / "docs" / f"{page}.md"
    notebook = nbformat.reads(json.dumps(notebooks.notebook(path)), 4)
    nbformat.validate(notebook)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # The kernel has its own.
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()

    outputs = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    figures = sum("image/png" in output.get("data", {}) for output in outputs)
    drawing = [b for b in markdown.blocks(path) if b.info == "python figure"]
    assert figures == len(drawing)
