"""The process of one peer: prepares a measurement and repeats it on request.

Started as `python worker.py MODULE:FUNCTION`. Answers every line of JSON on its
standard input with one on its standard output: a `Work` as a dictionary
prepares a new measurement, `null` measures once.
"""

import importlib
import importlib.metadata
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from benchmarks.peers import work

PACKAGES = ("keras", "tensorflow", "torch", "jax", "jaxlib", "numpy")


def main(name: str) -> None:
    """Answers requests until the standard input ends."""
    # The libraries' output must not mix with the answers.
    replies = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    module, function = name.split(":")
    make = getattr(
        importlib.import_module(f"benchmarks.peers.{module}"), function
    )
    data = work.load_mnist()
    replies.write(json.dumps({"versions": versions()}) + "\n")
    measure = None
    for line in sys.stdin:
        request = json.loads(line)
        if request is None:
            assert measure is not None
            replies.write(json.dumps({"seconds": measure()}) + "\n")
        else:
            measure = None
            measure = make(work.Work(**request), data)
            replies.write(json.dumps({}) + "\n")


def versions() -> dict[str, str]:
    """Returns the versions of what this process imported."""
    return {
        package: importlib.metadata.version(package)
        for package in PACKAGES
        if package in sys.modules
    }


if __name__ == "__main__":
    main(sys.argv[1])
