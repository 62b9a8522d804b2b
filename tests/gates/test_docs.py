"""The code blocks of the pages run, and their links resolve."""

from collections.abc import Iterator
import doctest
import importlib.util
import json
from pathlib import Path
import re
import subprocess
import sys
import textwrap
import types

import pytest

from keras_port.distribution.cluster_config import read_config
from tests.gates import checkout
from tests.gates import markdown
from tests.models.exports import has_litert

PAGES = checkout.pages()
# `python` is executed. `python tf1` shows the TensorFlow 1 way, and tests/tools
# runs `python tools` together with other programs; both are compiled here.
# `python upstream` is executed by tests/upstream/test_reports.py.
# `python figure` draws with matplotlib, and `python litert` exports to LiteRT;
# without them such a block is compiled.
PYTHON = {
    "python",
    "python figure",
    "python litert",
    "python tf1",
    "python tools",
}
INFO_STRINGS = PYTHON | {
    *("python upstream", "sh", "console", "text", "json", "yaml"),
    "{toctree}",  # Of docs/index.md, which only the site shows.
}
HAS_LITERT = has_litert()
HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


@pytest.fixture
def page_module() -> Iterator[types.ModuleType]:
    """Yields an empty module, the namespace of all blocks of a page."""
    # In `sys.modules`, because dataclasses and Keras' serialization look up
    # the module of a class by its name.
    module = types.ModuleType("docs_page")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("page", PAGES, ids=checkout.name)
def test_the_code_of_a_page_runs(
    page: Path,
    page_module: types.ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")  # Draws without a screen.
    executed = {"python"}
    if HAS_MATPLOTLIB:
        executed.add("python figure")
    if HAS_LITERT:
        executed.add("python litert")
    for block in markdown.blocks(page):
        if block.info not in PYTHON:
            continue
        # Empty lines before the code give it the line numbers of the page, so
        # that a traceback points into the page and `inspect` finds the code.
        padding = "\n" * (block.line - 1)
        code = compile(padding + block.code, str(page), "exec")
        if block.info not in executed:
            continue
        place = f"{checkout.name(page)}:{block.line}"
        run(code, page_module, place)
        printed = capsys.readouterr().out
        if block.output is not None:
            assert outputs_agree(block.output, printed), (
                f"the code block at {place} printed\n{printed}"
                f"and the page says\n{block.output}"
            )
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def test_the_text_after_a_block_is_what_it_prints(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        "```python\nx = 2\n```\n\nA picture:\n\n```text\n-->\n```\n"
    )
    first, _, second, _ = markdown.blocks(page)
    assert first.output == "1\n"
    assert second.output is None
    assert outputs_agree("[0.1 ...\n", "[0.1 0.2]\n")
    assert not outputs_agree("1\n", "2\n")
    assert not outputs_agree("1\n", "")


@pytest.mark.parametrize("page", PAGES, ids=checkout.name)
def test_the_blocks_of_a_page_name_their_language(page: Path) -> None:
    # Otherwise a misspelled language would leave a block unexecuted.
    unknown = [
        f"{checkout.name(page)}:{block.line}: {block.info!r}"
        for block in markdown.blocks(page)
        if block.info not in INFO_STRINGS
    ]
    assert not unknown, f"expected one of {sorted(INFO_STRINGS)}: {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=checkout.name)
def test_the_shell_of_a_page_parses(page: Path) -> None:
    for block in markdown.blocks(page):
        if block.info != "sh":
            continue
        parsed = subprocess.run(
            ["bash", "-n"],
            input=block.code,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not parsed.returncode, (
            f"{checkout.name(page)}:{block.line}: {parsed.stderr}"
        )


def test_the_scripts_for_clusters_make_a_configuration(tmp_path: Path) -> None:
    found = [
        block.code
        for block in markdown.blocks(checkout.ROOT / "docs" / "clusters.md")
        if block.info in ("sh", "yaml") and "TF_CONFIG" in block.code
    ]
    assert len(found) == 4
    for name, script in {
        "python": 'printf "%s" "$TF_CONFIG" > config',
        "scontrol": "echo a; echo b; echo c",
        "srun": 'shift; exec "$@"',
    }.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
    for code in found:
        script = code.partition("- |\n")[2].partition("volumeMounts:")[0]
        subprocess.run(
            ["bash", "-c", textwrap.dedent(script or code)],
            cwd=tmp_path,
            env={
                "PATH": f"{tmp_path}:/usr/bin:/bin",
                "SLURM_PROCID": "1",
                "SLURM_JOB_NODELIST": "[a-c]",
                "JOB_COMPLETION_INDEX": "1",
            },
            check=True,
        )
        config = json.loads((tmp_path / "config").read_text())
        cluster = read_config(config)
        assert len(cluster.addresses) in (2, 3)
        assert cluster.index == (0 if "second:2222" in code else 1)
        (tmp_path / "config").unlink()


@pytest.mark.parametrize("page", PAGES, ids=checkout.name)
def test_the_links_of_a_page_resolve(page: Path) -> None:
    broken = [
        f"{checkout.name(page)}:{number}: {target}"
        for number, target in markdown.links(page)
        if not resolves(page, target)
    ]
    assert not broken, "broken links:\n" + "\n".join(broken)


def test_the_readme_has_one_line_that_runs_the_tests() -> None:
    # .ci/run reads this line and runs it.
    readme = (checkout.ROOT / "README.md").read_text()
    section = re.search(
        r"^## Run the tests\n(.*?)(?=^## |\Z)", readme, re.M | re.S
    )
    assert section, "README.md has no section `## Run the tests`"
    lines = re.findall(r"^```sh\n(.*?)^```", section[1], re.M | re.S)
    assert len(lines) == 1, "the section holds one block of `sh`"
    assert lines[0].count("\n") == 1, "the block holds one line"
    assert "-m pytest" in lines[0]


def outputs_agree(shown: str, printed: str) -> bool:
    """Returns whether a page shows what was printed; `...` is anything."""
    return doctest.OutputChecker().check_output(
        shown, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )


def run(code: types.CodeType, module: types.ModuleType, place: str) -> None:
    """Runs a block; an error names the page and the block's first line."""
    try:
        exec(code, vars(module))
    except Exception as error:
        error.add_note(f"in the code block that begins at {place}")
        raise


def resolves(page: Path, target: str) -> bool:
    """Returns whether a link is external or names a file and heading."""
    if re.match(r"[a-z]+:", target):
        return True
    path, _, anchor = target.partition("#")
    other = page.parent / path if path else page
    if not other.exists() or not other.resolve().is_relative_to(checkout.ROOT):
        return False
    return not anchor or anchor in markdown.anchors(other)
