"""A peer of the benchmarks that is quick."""

import os
from pathlib import Path

import pytest

from benchmarks.peers.processes import Kind

# A peer that imports nothing, beside the real ones.
QUICK = """
import os
import time

def make(work, data):
    print("what a library says")
    if work.precision != "float32":
        raise ValueError("no bfloat16 here")
    return lambda: work.steps * len(data.test.labels)

def make_dying(work, data):
    return lambda: os._exit(3)

def make_silent(work, data):
    return lambda: time.sleep(60)
"""


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """Returns a kind whose process is there at once."""
    folder = tmp_path / "benchmarks" / "peers"
    folder.mkdir(parents=True)
    (folder / "quick.py").write_text(QUICK)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return Kind("quick:make")
