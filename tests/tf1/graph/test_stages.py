"""The stages of a graph need only those below them."""

import os
from pathlib import Path
import subprocess
import sys

from keras_port.tf1.graph.read import WRITER_OPS
from keras_port.tf1.graph.trace import variables

ROOT = Path(__file__).parents[3]


def test_every_operation_that_changes_a_variable_has_a_handler() -> None:
    assert set(WRITER_OPS) == set(variables.WRITERS)


def test_importing_the_package_does_not_import_the_tracer() -> None:
    code = (
        "import sys, keras_port; "
        "print([m for m in sys.modules if 'tf1.graph.trace' in m])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "[]\n"
