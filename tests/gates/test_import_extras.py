"""Importing the package loads nothing that Keras had not loaded."""

import json
import subprocess
import sys

import pytest

from tests.gates import checkout

# Of what is installed beside Keras, only this may be imported with it. Each
# further package costs every user time at the start, and most users need it
# for one callback or one script only: import it there, where it is used.
ALLOWED = {"keras_port"}

PROGRAM = """
import json, sys
import keras
before = set(sys.modules)
import keras_port
print(json.dumps([sorted(before), sorted(set(sys.modules) - before)]))
"""


@pytest.fixture(scope="module")
def modules() -> tuple[list[str], list[str]]:
    """Returns what is loaded by Keras, and what keras_port adds to it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=checkout.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, new = json.loads(done.stdout.splitlines()[-1])
    return before, new


def test_importing_keras_port_imports_no_further_package(
    modules: tuple[list[str], list[str]],
) -> None:
    before, new = modules
    known = {name.partition(".")[0] for name in before}
    known |= ALLOWED | sys.stdlib_module_names
    extras = sorted({name.partition(".")[0] for name in new} - known)
    assert not extras, f"`import keras_port` imports {extras}"


def test_flags_and_tensorboard_wait_until_they_are_used(
    modules: tuple[list[str], list[str]],
) -> None:
    # Keras may load a part of these, which would hide the rest above.
    late = ("absl.app", "absl.flags", "tensorboard", "matplotlib", "PIL")
    found = [
        name
        for name in modules[1]
        if f"{name}.".startswith(tuple(f"{module}." for module in late))
    ]
    assert not found, f"`import keras_port` imports {found}"
