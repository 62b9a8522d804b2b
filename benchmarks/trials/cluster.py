"""One of three workers is killed, stopped or preempted."""

import pathlib
import random
import time

from benchmarks import torture_cluster
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Trial

WORKERS = 3
STEPS = 100
_plain: dict[pathlib.Path, tuple[float, dict[str, bytes]]] = {}


def run_trial(bench: Bench, seed: int) -> Trial:
    """Signals one worker, starts all again, and compares the snapshots."""
    generator = random.Random(f"cluster {seed}")
    trial = Trial("cluster", "train_cluster", seed)
    seconds, plain = get_plain(bench)
    signal = torture_cluster.Trial(
        generator.choice(list(torture_cluster.ACTIONS)),
        generator.randrange(WORKERS),
        round(generator.random() * seconds, 2),
    )
    with bench.make_workdir(trial) as workdir:
        command = torture_cluster.make_command(workdir, STEPS)
        logs = bench.folder / f"cluster-{seed}"
        ends = torture_cluster.run_trial(command, logs, signal, workers=WORKERS)
        again = torture_cluster.run_trial(command, logs, None, workers=WORKERS)
        same = (
            not any(end.code for end in again)
            and torture_cluster.read_end(workdir) == plain
        )
    text = torture_cluster.describe(seed, signal, ends, same)
    trial.events.append(" ".join(text.split()))
    trial.seconds = max(end.seconds for end in ends)
    if not torture_cluster.is_good(signal, ends, same):
        trial.faults.append("not resumed" if not same else "not in order")
    return trial


def get_plain(bench: Bench) -> tuple[float, dict[str, bytes]]:
    """Returns how long a run takes that is not interrupted, and its end."""
    if bench.folder not in _plain:
        workdir = bench.folder / "reference-cluster"
        started = time.monotonic()
        torture_cluster.run_trial(
            torture_cluster.make_command(workdir, STEPS),
            bench.folder / "reference-cluster-logs",
            None,
            workers=WORKERS,
        )
        seconds = time.monotonic() - started
        _plain[bench.folder] = seconds, torture_cluster.read_end(workdir)
    return _plain[bench.folder]
