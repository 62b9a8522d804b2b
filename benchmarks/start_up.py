"""Measures the time from a command to the end of its first training step.

Every kind is a new process that ends with the first training step of the CNN:

- tensorflow: imports only TensorFlow and runs one bare traced step;
- keras: the first step of stock Keras' `fit`, with its data;
- keras_port: the first call of `examples/train_cnn.py`, which is ten steps,
  with its data and all its callbacks;
- keras_port_single: the same with one step per call.

The round before the first is left out, because it fills the disk's cache.
"""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags

from benchmarks import report
from benchmarks.peers import first_step
from benchmarks.peers.work import time_call


def seconds(kind: str) -> float:
    """Returns the seconds that a kind takes in a new process."""
    # The process ends at once and does not remove its folder.
    with tempfile.TemporaryDirectory() as folder:
        variables = {
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TMPDIR": folder,
        }
        run = functools.partial(
            subprocess.run,
            [sys.executable, first_step.__file__, kind],
            env=os.environ | variables,
            check=True,
        )
        return time_call(run)


def measure(rounds: int) -> report.Report:
    """Measures the kinds in turn."""
    kinds = {
        kind: functools.partial(seconds, kind) for kind in first_step.KINDS
    }
    values = report.measure_in_turn(kinds, rounds, warm_up=1)
    return report.Report(
        [
            report.Table(
                "From the command to the first step",
                "s",
                values,
                bases=("tensorflow",),
                digits=2,
            )
        ]
    )


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    measure(flags.FLAGS.rounds).publish()


if __name__ == "__main__":
    report.define_flags(rounds=5)
    app.run(main)
