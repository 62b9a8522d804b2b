"""Measures how much time `import keras_port` adds to `import keras`.

Runs the imports in new processes, in turn, and prints the medians in
milliseconds and the median of the differences. The round before the first is
left out, because it fills the disk's cache.
"""

from collections.abc import Mapping
import functools
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags

from benchmarks import report

ROOT = report.ROOT
STATEMENTS = {
    "keras": "import keras",
    "keras_port": "import keras, keras_port",
}
TIMED = """
import time
started = time.perf_counter()
{statement}
print(1000 * (time.perf_counter() - started))
"""


def milliseconds(statement: str) -> float:
    """Returns how long a statement takes in a new process."""
    path = os.pathsep.join(
        part for part in (str(ROOT), os.environ.get("PYTHONPATH")) if part
    )
    ended = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement=statement)],
        env=os.environ | {"PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(ended.stdout.splitlines()[-1])


def difference(times: Mapping[str, list[float]]) -> float:
    """Returns the median difference between the last and the first kind."""
    first, *_, last = times.values()
    pairs = zip(first, last, strict=True)
    return statistics.median(more - base for base, more in pairs)


def measure(
    rounds: int, statements: Mapping[str, str] = STATEMENTS
) -> report.Report:
    """Measures the statements in turn, `rounds` times."""
    times = report.measure_in_turn(
        {
            kind: functools.partial(milliseconds, statement)
            for kind, statement in statements.items()
        },
        rounds,
        warm_up=1,
    )
    table = report.Table("Import in a new process", "ms", times)
    table.notes.append(
        f"Median of the differences: {difference(times):,.0f} ms."
    )
    return report.Report([table])


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    measure(flags.FLAGS.rounds).publish()


if __name__ == "__main__":
    report.define_flags(rounds=5)
    app.run(main)
