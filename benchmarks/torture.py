"""Kills, stops and starves programs, and damages their files.

Every trial does it at a random place that its seed gives, starts the program
again until its end, and compares what it leaves, bit for bit, with a run that
was never interrupted.

- kills: SIGKILL at a random time, or at a random call for a file.
- signals: SIGTERM or SIGINT to the group of processes.
- disks: a disk without room, or without inodes, that gets room later.
- torn: the newest snapshot is cut, zeroed, garbage or empty.
- files: files of every format that is read, with mutated bytes.
- cluster: one of three workers is killed, stopped or preempted.

A line of the output begins with FAULT and has the flags that repeat it.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks.trials import preload  # noqa: F401 (imports quietly)

# isort: split

from absl import app
from absl import flags

from benchmarks import report
from benchmarks.trials import cluster
from benchmarks.trials import disks
from benchmarks.trials import files
from benchmarks.trials import kills
from benchmarks.trials import signals
from benchmarks.trials import torn
from benchmarks.trials.program_list import PROGRAMS
from benchmarks.trials.program_list import Program
from benchmarks.trials.program_list import write_data
from benchmarks.trials.starts import Starter
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Trial

OF_PROGRAMS: dict[str, Callable[[Bench, Program, int], Trial]] = {
    "kills": kills.run_trial,
    "signals": signals.run_trial,
    "disks": disks.run_trial,
    "torn": torn.run_trial,
}
KINDS = [*OF_PROGRAMS, "files", "cluster"]


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_multi_enum("kind", ["kills"], KINDS, "What is tried.")
    flags.DEFINE_multi_string(
        "program",
        None,
        "Programs, or formats of files. Defaults to all. "
        f"Programs: {', '.join(PROGRAMS)}. "
        f"Formats: {', '.join(files.FORMATS)}.",
    )
    flags.DEFINE_integer("seed", 1, "Seed of the first trial.", lower_bound=0)
    flags.DEFINE_integer(
        "trials", 10, "Trials of every kind and program.", lower_bound=1
    )
    flags.DEFINE_integer(
        "count", 1000, "Mutated files of every format.", lower_bound=1
    )
    flags.DEFINE_float(
        "minutes", None, "No trial starts later than this.", lower_bound=0.0
    )
    flags.DEFINE_bool(
        "fork",
        True,
        "Fork every start from a process that has imported Keras, instead of "
        "starting an interpreter. It is faster, and computes the same.",
    )
    flags.DEFINE_string("json", None, "File to write every trial to.")


def run_trials(
    bench: Bench,
    kinds: Sequence[str],
    names: Sequence[str] | None,
    *,
    seeds: range,
    count: int,
) -> Iterator[Trial]:
    """Yields the trials, one of every kind and program in turn.

    Args:
        bench: Runs the programs.
        kinds: Some of `KINDS`.
        names: Programs or formats, `None` for all.
        seeds: Seeds of the trials of every kind and program.
        count: Mutated files of every format.
    """
    for seed in seeds:
        for kind in kinds:
            if kind in OF_PROGRAMS:
                for name, program in PROGRAMS.items():
                    if names is None or name in names:
                        yield OF_PROGRAMS[kind](bench, program, seed)
            elif kind == "cluster":
                yield cluster.run_trial(bench, seed)
    if "files" in kinds:
        for name in files.FORMATS:
            if names is None or name in names:
                yield from files.run_trials(bench, name, seeds[0], count)


def to_markdown(trials: Sequence[Trial]) -> str:
    """Returns a table with a line for every kind and program."""
    rows = [
        ["kind", "program", "trials", "equal", "faults (seeds)", "longest, s"],
        ["---"] * 6,
    ]
    for kind, name in dict.fromkeys((t.kind, t.program) for t in trials):
        found = [t for t in trials if (t.kind, t.program) == (kind, name)]
        count = sum(t.count for t in found)
        bad = [t for t in found if t.faults]
        seeds = ", ".join(str(t.seed) for t in bad[:20])
        rows.append(
            [
                kind,
                name,
                f"{count:,}",
                f"{count - len(bad):,}",
                f"{len(bad)} ({seeds})" if bad else "0",
                f"{max(t.seconds for t in found):.1f}",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_json(path: pathlib.Path, trials: Sequence[Trial]) -> None:
    """Writes all trials with the versions, the machine and the command."""
    content = {
        "trials": [dataclasses.asdict(trial) for trial in trials],
        "versions": report.versions(),
        "machine": report.machine(),
        "date": report.now(),
        "command": report.command(),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def run(folder: pathlib.Path) -> list[Trial]:
    """Runs the trials that the flags ask for, and prints the faults."""
    values = flags.FLAGS
    (folder / "data").mkdir()
    bench = Bench(
        folder,
        write_data(folder / "data"),
        Starter(folder, fork=values.fork),
    )
    started = time.monotonic()
    trials: list[Trial] = []
    seeds = range(values.seed, values.seed + values.trials)
    for trial in run_trials(
        bench, values.kind, values.program, seeds=seeds, count=values.count
    ):
        trials.append(trial)
        if trial.faults:
            print(trial.describe(), flush=True)
        if values.json:
            write_json(pathlib.Path(values.json), trials)
        minutes = (time.monotonic() - started) / 60
        if values.minutes is not None and minutes > values.minutes:
            break
    return trials


def main(_: Sequence[str]) -> None:
    """Prints the table; the exit code is 1 if there are faults."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        trials = run(pathlib.Path(name).resolve())
    print(to_markdown(trials))
    packages = ", ".join(f"{k} {v}" for k, v in report.versions().items())
    print(f"\n{packages}; {report.machine()}; {report.now()}")
    sys.exit(any(trial.faults for trial in trials))


if __name__ == "__main__":
    define_flags()
    app.run(main)
