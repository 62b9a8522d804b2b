"""Measures how long a whole run takes and what accuracy it reaches.

Runs these commands in turn and measures them from start to end:

- fast: `examples/train_cnn.py --recipe=fast`, with --seeds seeds;
- course: `examples/train_cnn.py`, the course's recipe to its early stop;
- tf1: the course's recipe to its early stop in a TensorFlow 1 session.

The last two take many minutes each, so they have --course_seeds seeds.
"""

from collections.abc import Callable
from collections.abc import Mapping
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags

from benchmarks import report
from benchmarks.peers.work import time_call

TRAIN_CNN = str(report.ROOT / "examples" / "train_cnn.py")
COMMANDS = {
    "fast": [TRAIN_CNN, "--recipe=fast"],
    "course": [TRAIN_CNN],
    "tf1": [str(report.ROOT / "benchmarks" / "peers" / "tf1_job.py")],
}
RESULTS_FILE = "results.json"


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_string("json", None, "File to write every number to.")
    flags.DEFINE_integer("seeds", 5, "Runs of the fast recipe.", lower_bound=1)
    flags.DEFINE_integer(
        "course_seeds", 1, "Runs of the course's recipe.", lower_bound=1
    )
    flags.DEFINE_multi_string("flag", [], "Further flag for every run.")
    flags.DEFINE_multi_enum(
        "kind", list(COMMANDS), list(COMMANDS), "What to run."
    )


def run(command: list[str], seed: int) -> tuple[float, dict[str, Any]]:
    """Returns the seconds of a command and the results that it writes.

    Raises:
        subprocess.CalledProcessError: If the command fails; its messages are
            printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, *command]
        line += [f"--seed={seed}", f"--workdir={folder}"]
        seconds = time_call(
            lambda: subprocess.run(
                line,
                check=True,
                stdout=subprocess.DEVNULL,
                env=os.environ
                | {"PYTHONPATH": str(report.ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
        )
        text = (pathlib.Path(folder) / RESULTS_FILE).read_text("utf-8")
    return seconds, json.loads(text)


def measure(
    commands: Mapping[str, list[str]],
    runs: Mapping[str, int],
    *,
    done: Callable[[str, int, float, dict[str, Any]], None],
) -> report.Report:
    """Runs the commands in turn, each with its own number of seeds.

    Args:
        commands: Command of every kind.
        runs: Number of seeds of every kind.
        done: Is called after every run, because all runs take long.
    """
    seconds: dict[str, list[float]] = {kind: [] for kind in commands}
    accuracies: dict[str, list[float]] = {kind: [] for kind in commands}
    steps: dict[str, list[float]] = {kind: [] for kind in commands}
    for seed in range(1, 1 + max(runs.values())):
        for kind in [kind for kind in commands if seed <= runs[kind]]:
            taken, results = run(commands[kind], seed)
            seconds[kind].append(taken)
            accuracies[kind].append(results["test_accuracy"])
            steps[kind].append(results["steps"])
            done(kind, seed, taken, results)
    fast = "fast" if "fast" in commands else None
    return report.Report(
        [
            report.Table("Whole run", "s", seconds, subject=fast, digits=1),
            report.Table("Test accuracy", "accuracy", accuracies, digits=4),
            report.Table("Steps", "steps", steps),
        ]
    )


def show(kind: str, seed: int, seconds: float, results: dict[str, Any]) -> None:
    """Prints one line about a run."""
    print(
        f"{kind}, seed {seed}: {seconds:.1f} s, {results['steps']:,} steps, "
        f"test accuracy {results['test_accuracy']:.4f}",
        flush=True,
    )


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    measure(
        {kind: COMMANDS[kind] + values.flag for kind in values.kind},
        {
            kind: values.seeds if kind == "fast" else values.course_seeds
            for kind in values.kind
        },
        done=show,
    ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
