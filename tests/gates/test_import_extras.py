"""Importing the package loads nothing that Keras had not loaded."""

import json
import subprocess
import sys

from tests.gates import checkout

# Whatever else is imported at the start costs every user time, and most users
# need it for one callback or one script only: tensorboard, for example, is
# imported where it is used. What Keras has loaded before costs nothing, and
# the standard library next to nothing.
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
