"""Measures how much memory the whole job takes, and whether it grows.

The job is that of `course_job.py`. Every kind has a process of its own, whose
resident memory is read from outside while it runs. The growth is the median of
the last fifth of the time minus that of the second fifth, because the first
fifth builds graphs. Linux only.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import pathlib
import re
import statistics
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags

from benchmarks import course_job
from benchmarks import report
from benchmarks.peers import processes
from benchmarks.peers.processes import Kind
from benchmarks.peers.work import Work

KINDS = {
    kind: course_job.KINDS[kind]
    for kind in ("keras_port", "keras", "keras_tuned")
}
PAUSE = 0.2


def define_flags() -> None:
    """Defines the flags of this script."""
    report.define_flags(rounds=1)
    flags.DEFINE_integer("steps", 5000, "Steps of the job.", lower_bound=2)
    flags.DEFINE_integer(
        "eval_freq", 100, "Steps between validations.", lower_bound=1
    )
    flags.DEFINE_multi_enum("kind", list(KINDS), list(KINDS), "Who does it.")


def read_memory(pid: int, what: str) -> float:
    """Returns the current memory ("VmRSS") or the peak ("VmHWM"), in MiB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{what}:\s+(\d+) kB$", text, re.M)
    assert found, f"no {what} of process {pid}"
    return int(found[1]) / 1024


@contextlib.contextmanager
def sample_memory(pid: int, pause: float = PAUSE) -> Iterator[list[float]]:
    """Reads the memory of a process repeatedly during the block."""
    sizes: list[float] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(pause):
            sizes.append(read_memory(pid, "VmRSS"))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def growth(sizes: list[float]) -> float:
    """Returns the median of the last fifth minus that of the second fifth."""
    fifth = len(sizes) // 5
    if not fifth:
        return 0.0
    second, last = sizes[fifth : 2 * fifth], sizes[-fifth:]
    return statistics.median(last) - statistics.median(second)


def measure(
    work: Work, rounds: int, kinds: Mapping[str, Kind]
) -> report.Report:
    """Measures the kinds in turn, in a new process each time."""
    peaks: dict[str, list[float]] = {kind: [] for kind in kinds}
    grown: dict[str, list[float]] = {kind: [] for kind in kinds}
    versions = report.versions(())
    for _ in range(rounds):
        for name, kind in kinds.items():
            with contextlib.closing(processes.Peer(kind)) as peer:
                peer.make(work)
                with sample_memory(peer.pid) as sizes:
                    peer.measure()
                peaks[name].append(read_memory(peer.pid, "VmHWM"))
                grown[name].append(growth(sizes))
                versions |= peer.versions
    title = f"{work.steps:,} steps: "
    bases = tuple(kind for kind in ("keras", "keras_tuned") if kind in kinds)
    tables = [
        report.Table(f"{title}peak of memory", "MiB", peaks, bases=bases),
        report.Table(f"{title}growth", "MiB", grown),
    ]
    return report.Report(tables, versions)


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    measure(
        Work(steps=values.steps, eval_freq=values.eval_freq),
        values.rounds,
        {kind: KINDS[kind] for kind in values.kind},
    ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
