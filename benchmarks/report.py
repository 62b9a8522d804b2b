"""What all benchmarks share: turns, medians, tables, and the machine."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import statistics
import sys
import time
from typing import Any

from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("keras", "numpy", "tensorflow")


def define_flags(*, rounds: int) -> None:
    """Defines the flags that every benchmark has.

    Args:
        rounds: The default of `--rounds`.
    """
    flags.DEFINE_integer(
        "rounds", rounds, "Measurements of every kind.", lower_bound=1
    )
    flags.DEFINE_string("json", None, "File to write every number to.")


class LostKindError(Exception):
    """A kind can no longer be measured; the message says why in one line."""


def measure_in_turn(
    kinds: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: int = 0
) -> dict[str, list[float]]:
    """Measures all kinds in every round: A B C, then B C A, then C A B.

    So a machine that slows down affects all kinds, and none gains from being
    the first of its round, when the processor has rested.

    A line on the standard error says which kind is measured, and for how long
    all has taken. A kind that raises `LostKindError` is left out from then on.

    Args:
        kinds: Functions that measure the kinds.
        rounds: Measurements of every kind.
        warm_up: Rounds before these, whose values are dropped. Defaults to 0.
    """
    values: dict[str, list[float]] = {kind: [] for kind in kinds}
    order = list(kinds)
    begin = time.monotonic()
    for number in range(warm_up + rounds):
        first = number % len(order) if order else 0
        name = (
            "warm-up"
            if number < warm_up
            else f"round {number - warm_up + 1} of {rounds}"
        )
        for kind in order[first:] + order[:first]:
            if kind not in values:
                continue
            show_progress(f"{name}: {kind}", time.monotonic() - begin)
            try:
                value = kinds[kind]()
            except LostKindError as error:
                show_progress(f"{kind} is left out: {error}")
                del values[kind]
                continue
            if number >= warm_up:
                values[kind].append(value)
    return values


def show_progress(text: str, seconds: float | None = None) -> None:
    """Says on the standard error what a benchmark is doing.

    Args:
        text: What it is doing.
        seconds: How long it has taken so far. Defaults to `None`: not shown.
    """
    passed = "" if seconds is None else f"[{seconds:4.0f} s] "
    print(f"{passed}{text}", file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Table:
    """The values of several kinds that were measured in turn.

    Args:
        title: What was measured.
        unit: Of the values, such as "examples/s".
        values: All values of every kind, in the order of the rounds.
        bases: Kinds to compare with; each has a column that begins with "of".
        subject: Kind that is compared with every other kind, in a column that
            says how many times as fast it is. Defaults to `None`: no column.
        higher_is_faster: Whether the values are rates and not times.
        digits: Digits after the decimal point. Defaults to 0.
        notes: Lines to print below the table.
    """

    title: str
    unit: str
    values: dict[str, list[float]]
    bases: tuple[str, ...] = ()
    subject: str | None = None
    higher_is_faster: bool = False
    digits: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def medians(self) -> dict[str, float]:
        """Median of every kind."""
        return {kind: statistics.median(v) for kind, v in self.values.items()}

    def ratio(self, kind: str, base: str) -> float:
        """Returns the median of a kind divided by that of another kind."""
        return self.medians[kind] / self.medians[base]

    def times_as_fast(self, kind: str) -> float:
        """Returns how many times as fast as `kind` the subject is."""
        assert self.subject is not None
        if self.higher_is_faster:
            return self.ratio(self.subject, kind)
        return self.ratio(kind, self.subject)

    def to_markdown(self) -> str:
        """Returns medians, extremes and ratios of medians."""
        head = ["kind", self.unit, "lowest", "highest"]
        head += [f"of {base}" for base in self.bases]
        head += [f"{self.subject} is times as fast"] if self.subject else []
        rows = [head, ["---"] * len(head)]
        rows += [self._row(kind) for kind in self.values]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _row(self, kind: str) -> list[str]:
        values = self.values[kind]
        numbers = (self.medians[kind], min(values), max(values))
        row = [kind, *(f"{number:,.{self.digits}f}" for number in numbers)]
        row += [f"{self.ratio(kind, base):.3f}" for base in self.bases]
        if self.subject:
            row.append(f"{self.times_as_fast(kind):.2f}")
        return row

    def to_json(self) -> dict[str, Any]:
        """Returns every value, and what the table shows."""
        ratios = {
            base: {kind: self.ratio(kind, base) for kind in self.values}
            for base in self.bases
        }
        content = dataclasses.asdict(self)
        content |= {"medians": self.medians, "ratios": ratios}
        if self.subject:
            content["times_as_fast"] = {
                kind: self.times_as_fast(kind) for kind in self.values
            }
        return content


@dataclasses.dataclass(frozen=True)
class Report:
    """The tables of one command, with the versions and the machine.

    Args:
        tables: What was measured.
        versions: Versions of what was measured. Defaults to those of the
            packages in this process.
    """

    tables: list[Table]
    versions: dict[str, str] = dataclasses.field(
        default_factory=lambda: versions()
    )
    machine: str = dataclasses.field(default_factory=lambda: machine())
    date: str = dataclasses.field(default_factory=lambda: now())
    command: str = dataclasses.field(default_factory=lambda: command())

    def to_markdown(self) -> str:
        """Returns the tables with their notes, the versions and the machine."""
        parts = []
        for table in self.tables:
            parts += [table.title, table.to_markdown(), *table.notes]
        packages = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        parts.append(f"{packages}; {self.machine}; {self.date}")
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Returns every value, the versions, the machine and the command."""
        content = dataclasses.asdict(self)
        return content | {"tables": [table.to_json() for table in self.tables]}

    def publish(self) -> None:
        """Prints the tables, and writes the file of the flag `--json`."""
        print(self.to_markdown())
        if flags.FLAGS.json:
            text = json.dumps(self.to_json(), indent=2)
            pathlib.Path(flags.FLAGS.json).write_text(text + "\n", "utf-8")


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Returns the versions of Python and of the installed packages."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Returns the processor and the number of cores that may be used."""
    name = platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    for line in lines:
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {cores()} cores"


def cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def now() -> str:
    """Returns the current time in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command() -> str:
    """Returns the command line, without the folders of this machine."""
    script, *arguments = sys.argv
    return shlex.join([pathlib.Path(script).name, *arguments])
