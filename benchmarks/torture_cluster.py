"""Kills, stops or preempts workers of a cluster at random instants.

Every trial starts three workers of `examples/train_cluster.py` on this
machine, sends a signal to one of them, and notes how the others end: after how
many seconds, with which exit code, and with which lines on stderr. Then all
workers are started again, and the end of the run is compared, bit for bit,
with a run that was never interrupted.
"""

from collections.abc import Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
ACTIONS = {
    "kill": signal.SIGKILL,
    "stop": signal.SIGSTOP,
    "term": signal.SIGTERM,
}
# Lines that tell of no error.
NEWS = re.compile(
    r"Waiting for|Resumed from|The training in .* is finished|"
    r"\S+/model\.keras has|SIGTERM|.*UserWarning: No evaluation: |  callback\."
)
# Seconds until a worker counts as one that hangs.
LIMIT = 90.0
# Seconds until one ends for which the others have not started, with its import.
WAITING = 80.0


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a worker has ended.

    Args:
        worker: Its index.
        seconds: From the signal to its end.
        code: Exit code, or the negative number of a signal.
        lines: Lines on stderr, without news.
    """

    worker: int
    seconds: float
    code: int
    lines: list[str]


@dataclasses.dataclass(frozen=True)
class Trial:
    """One signal to one worker.

    Args:
        action: Key of `ACTIONS`.
        worker: Index of the worker that gets the signal.
        delay: Seconds from the start of the workers to the signal.
    """

    action: str
    worker: int
    delay: float


def find_free_addresses(count: int) -> list[str]:
    """Returns addresses of this machine that are not in use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def start(
    command: Sequence[str], logs: pathlib.Path, workers: int
) -> list[subprocess.Popen[bytes]]:
    """Starts a cluster; what the workers print goes to files in `logs`."""
    logs.mkdir(parents=True, exist_ok=True)
    addresses = find_free_addresses(workers)
    processes = []
    for index in range(workers):
        config = {
            "cluster": {"worker": addresses},
            "task": {"type": "worker", "index": index},
        }
        with (
            open(logs / f"{index}.out", "wb") as out,
            open(logs / f"{index}.err", "wb") as err,
        ):
            processes.append(
                subprocess.Popen(
                    command,
                    env=os.environ
                    | {
                        "TF_CONFIG": json.dumps(config),
                        "PYTHONPATH": str(ROOT),
                    },
                    stdout=out,
                    stderr=err,
                )
            )
    return processes


def run_trial(
    command: Sequence[str],
    logs: pathlib.Path,
    trial: Trial | None,
    *,
    workers: int = 3,
    limit: float = LIMIT,
) -> list[Ending]:
    """Runs a cluster, and returns how its workers have ended.

    Args:
        command: Command of a worker.
        logs: Directory for what the workers print.
        trial: The signal, `None` for a run without one.
        workers: Number of workers. Defaults to 3.
        limit: Seconds after which all are killed. Defaults to 90.
    """
    processes = start(command, logs, workers)
    since = time.monotonic()
    if trial is not None:
        time.sleep(trial.delay)
        since = time.monotonic()
        processes[trial.worker].send_signal(ACTIONS[trial.action])
    ended: dict[int, float] = {}
    while len(ended) < workers and time.monotonic() - since < limit:
        for index, process in enumerate(processes):
            if index not in ended and process.poll() is not None:
                ended[index] = time.monotonic() - since
        if (
            trial is not None
            and trial.action == "stop"
            and len(ended) == workers - 1
        ):
            # It must find out that the others are gone.
            processes[trial.worker].send_signal(signal.SIGCONT)
        time.sleep(0.1)
    for process in processes:
        if process.poll() is None:
            process.kill()
    return [
        Ending(
            index,
            round(ended.get(index, float("inf")), 1),
            process.wait(),
            read_lines(logs / f"{index}.err"),
        )
        for index, process in enumerate(processes)
    ]


def read_lines(path: pathlib.Path) -> list[str]:
    """Returns the lines that are no news."""
    lines = path.read_text("utf-8", "replace").splitlines()
    return [line for line in lines if line.strip() and not NEWS.match(line)]


def make_command(workdir: pathlib.Path, max_steps: int) -> list[str]:
    """Returns the command of a worker."""
    return [
        *(sys.executable, "-u", str(ROOT / "examples" / "train_cluster.py")),
        *(f"--workdir={workdir}", "--network=perceptron"),
        *(f"--max_steps={max_steps}", "--eval_freq=50", "--save_freq=50"),
    ]


def read_end(workdir: pathlib.Path) -> dict[str, bytes]:
    """Returns the arrays of the newest snapshot."""
    newest = max((workdir / "state").glob("state-*.npz"))
    with np.load(newest) as content:
        return {
            name: content[name].tobytes()
            for name in content.files
            # The manifest holds times, which differ from run to run.
            if name != "manifest"
            and content[name].dtype.kind in "fiu"
            and content[name].ndim
        }


def main(_: Sequence[str]) -> None:
    """Runs the trials, and prints a row for each."""
    values = flags.FLAGS
    generator = random.Random(values.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        command = make_command(folder / "plain", values.max_steps)
        started = time.monotonic()
        run_trial(command, folder / "plain-logs", None)
        seconds = time.monotonic() - started
        plain = read_end(folder / "plain")
        print(f"The plain run takes {seconds:.1f} s.", flush=True)
        for number in range(values.trials):
            trial = Trial(
                generator.choice(values.actions),
                generator.randrange(3),
                round(generator.uniform(values.earliest, 1.0) * seconds, 2),
            )
            workdir = folder / str(number)
            command = make_command(workdir, values.max_steps)
            endings = run_trial(command, folder / f"{number}-logs", trial)
            again = run_trial(command, folder / f"{number}-again", None)
            same = not any(e.code for e in again) and read_end(workdir) == plain
            print(describe(number, trial, endings, same), flush=True)
            bad += not is_good(trial, endings, same)
    print(f"{values.trials - bad} of {values.trials} trials are good.")


def is_good(trial: Trial, endings: Sequence[Ending], same: bool) -> bool:
    """Tells whether all others ended in time with at most one line."""
    limit = 60.0 if trial.action == "stop" else 10.0
    if trial.action == "term":
        limit = 30.0  # They end the step, save and test.
    others = [e for e in endings if e.worker != trial.worker]
    return same and all(
        e.seconds <= (WAITING if "has not started" in str(e.lines) else limit)
        and len(e.lines) == (e.code != 0)
        for e in others
    )


def describe(
    number: int, trial: Trial, endings: Sequence[Ending], same: bool
) -> str:
    """Returns a trial as text."""
    rows = [
        f"{number}: {trial.action} worker {trial.worker} after "
        f"{trial.delay} s; resumed to the same bits: {same}; "
        f"good: {is_good(trial, endings, same)}"
    ]
    rows += [
        f"   worker {e.worker}: {e.seconds} s, code {e.code}, "
        f"{len(e.lines)} lines: {' | '.join(e.lines)[:300]}"
        for e in endings
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    flags.DEFINE_integer("trials", 20, "Number of trials.", lower_bound=1)
    flags.DEFINE_integer("seed", 1, "Seed of the trials.")
    flags.DEFINE_float(
        "earliest",
        0.0,
        "Earliest instant, as a share of the time of a plain run.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_integer("max_steps", 300, "Steps of a run.", lower_bound=1)
    flags.DEFINE_multi_enum(
        "actions",
        ["kill"],
        list(ACTIONS),
        "Signals to choose from.",
    )
    app.run(main)
