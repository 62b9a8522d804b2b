"""Importing the package imports nothing that Keras does not import."""

import json
import subprocess
import sys

from tests.gates import checkout

# Every other import costs every user time, although most users need it for one
# callback or script only. TensorBoard, for example, is imported where it is
# used. What Keras has imported costs nothing, the standard library very little.
ALLOWED = {"keras_port"} | sys.stdlib_module_names

PROGRAM = """
import json, sys
import keras
before = set(sys.modules)
import keras_port
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_keras_port_imports_nothing_beyond_keras() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=checkout.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    new = json.loads(done.stdout.splitlines()[-1])
    assert "keras_port.datasets" in new
    extras = [name for name in new if name.partition(".")[0] not in ALLOWED]
    assert not extras, f"`import keras_port` imports {extras}"
