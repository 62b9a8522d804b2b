"""The stages of a graph need only those before them."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.trace import variables
from tests.gates import checkout

GRAPH = checkout.ROOT / "keras_port" / "tf1" / "graph"
STAGES = ["read", "select", "control_flow", "trace"]


def imports(path: Path) -> set[str]:
    """Returns the parts of `keras_port.tf1.graph` that a file imports."""
    prefix = "keras_port.tf1.graph."
    return {
        module.removeprefix(prefix).split(".")[0]
        for _, module in checkout.find_imports(checkout.parse(path))
        if module.startswith(prefix)
    }


@pytest.mark.parametrize("number", range(4), ids=STAGES)
def test_a_stage_imports_only_from_those_before_it(number: int) -> None:
    for path in (GRAPH / STAGES[number]).glob("*.py"):
        assert imports(path) <= set(STAGES[: number + 1]), path


def test_the_report_needs_neither_control_flow_nor_the_tracer() -> None:
    assert imports(GRAPH / "report.py") == {"read", "select"}


def test_every_operation_that_assigns_has_a_handler() -> None:
    assert set(operations.WRITERS) == set(variables.WRITERS)


def test_importing_the_package_does_not_import_the_tracer() -> None:
    code = (
        "import sys, keras_port; "
        "print([m for m in sys.modules if 'tf1.graph.trace' in m])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(checkout.ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"
