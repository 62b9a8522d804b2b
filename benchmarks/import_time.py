"""Says what `import keras_port` costs over `import keras`.

Imports each in fresh processes, in turn, and prints the medians of the rounds
in milliseconds, and the median of their differences. One round before the
first is left out: it fills the disk's cache.
"""

from collections.abc import Mapping
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

from absl import app
from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
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


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_integer("rounds", 5, "Imports of each kind.", lower_bound=1)
    flags.DEFINE_string("json", None, "File to write the numbers to.")


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


@dataclasses.dataclass(frozen=True)
class Report:
    """The measured milliseconds, by kind, the one to compare with first."""

    times: dict[str, list[float]]
    versions: dict[str, str]

    @property
    def difference(self) -> float:
        """Median of what the last kind takes more than the first."""
        first, *_, last = self.times.values()
        pairs = zip(first, last, strict=True)
        return statistics.median(more - base for base, more in pairs)

    def table(self) -> str:
        """Returns the medians as Markdown."""
        lines = ["| import | ms | fastest |", "|---|---|---|"]
        for kind, times in self.times.items():
            lines.append(
                f"| {kind} | {statistics.median(times):,.0f} | "
                f"{min(times):,.0f} |"
            )
        lines.append(f"| difference | {self.difference:,.0f} | |")
        return "\n".join(lines)


def measure(rounds: int, statements: Mapping[str, str] = STATEMENTS) -> Report:
    """Measures each statement in turn, `rounds` times."""
    times: dict[str, list[float]] = {kind: [] for kind in statements}
    for number in range(rounds + 1):
        for kind, statement in statements.items():
            time = milliseconds(statement)
            if number:
                times[kind].append(round(time, 1))
    return Report(times, {"python": platform.python_version()})


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    report = measure(flags.FLAGS.rounds)
    print(report.table())
    print(", ".join(f"{k} {v}" for k, v in report.versions.items()))
    if flags.FLAGS.json:
        text = json.dumps(dataclasses.asdict(report), indent=2)
        pathlib.Path(flags.FLAGS.json).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    define_flags()
    app.run(main)
