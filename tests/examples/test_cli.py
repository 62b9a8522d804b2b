"""A script starts and ends without looking through all of TensorFlow."""

from pathlib import Path
import subprocess
import sys

EXAMPLES = Path(__file__).parents[2] / "examples"
# A ring, which only a search finds; the one that ends the process as well.
RING = """
import gc
import sys
import cli

with cli.quiet_imports():
    import keras_port

class Ring:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("found")

def main():
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000
    Ring()
    {then}

sys.argv[1:] = []
cli.run(main)
"""


def run(then: str) -> subprocess.CompletedProcess[str]:
    """Runs a script that leaves garbage and then does something."""
    return subprocess.run(
        [sys.executable, "-c", RING.format(then=then)],
        cwd=EXAMPLES,
        check=False,
        capture_output=True,
        text=True,
    )


def test_garbage_of_the_training_is_found() -> None:
    assert run("gc.collect()").stdout == "found\n"


def test_nothing_is_looked_for_at_the_end() -> None:
    ended = run("pass")
    assert (ended.returncode, ended.stdout) == (0, "")


def test_after_a_failure_all_is_cleared_up() -> None:
    # What a training that has failed has not closed is closed by it.
    ended = run("raise ValueError('no')")
    assert (ended.returncode, ended.stdout) == (1, "found\n")
    assert ended.stderr == "-c: no\n"
