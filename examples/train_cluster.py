"""Trains on several machines, here played by processes of this one.

Started by itself it is the launcher: it starts --workers processes of this
script as a cluster, each of which computes a part of every batch. When one is
lost the others end, too, and the launcher starts all again, which go on where
the newest snapshot was. --lose_at kills one on purpose, to show that.

On real machines start the script on each, with the environment variable
TF_CONFIG, and --workdir on a disk that all of them see.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from typing import Any

from absl import flags
import cli  # First: it sets what TensorFlow reads when it is imported.
import keras
import run_folder
import run_settings
import step_training

from keras_port import distribution
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from keras_port import training

NETWORKS = {
    "perceptron": models.build_perceptron,
    "cnn": models.build_cnn,
}
# Seconds that the others have to notice a lost worker.
NOTICE = 90
STEP = re.compile(r"step ([\d,]+)/")


def define_flags() -> None:
    """Defines the flags of this script."""
    run_settings.define_settings(
        workdir="runs/cluster",
        max_steps=1000,
        eval_freq=100,
        learning_rate=1e-4,
    )
    flags.DEFINE_integer("workers", 2, "Processes to start.", lower_bound=2)
    flags.DEFINE_enum("network", "cnn", list(NETWORKS), "What to train.")
    flags.DEFINE_integer(
        "lose_at",
        0,
        "Kill the last worker at the first validation at or after this step, "
        "once; 0 for never.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "restarts", 3, "Times to start all again.", lower_bound=0
    )


def train_as_worker(settings: run_settings.Settings, network: str) -> None:
    """Trains as the worker that `TF_CONFIG` names; the first one prints."""
    strategy = distribution.multi_worker_strategy()
    splits = run_settings.load_splits(settings)
    finished = run_folder.finished_results(
        settings, script="train_cluster", network=network
    )
    if finished is not None:
        print(f"{settings.workdir} is finished; there is nothing left to do.")
        return
    keras.utils.set_random_seed(settings.seed)
    with strategy.scope():
        model: Any = NETWORKS[network]()
        model.compile(
            optimizer=optimizers.Adam(settings.learning_rate),
            loss=losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
        )
    results = step_training.train_by_step(model, splits, settings)
    if training.is_chief(model):
        print(run_folder.summary(results))


def launch(
    command: Sequence[str], *, workers: int, restarts: int, lose_at: int = 0
) -> int:
    """Starts a cluster, and all of it again whenever a worker is lost.

    Args:
        command: What each worker runs.
        workers: Number of workers.
        restarts: Times to start all again.
        lose_at: Step at which the last worker is killed, once; 0 for never.

    Returns:
        How often a worker was lost.

    Raises:
        ValueError: If the cluster has been started as often as it may be.
    """
    for losses_so_far in range(restarts + 1):
        codes = run_once(command, workers, 0 if losses_so_far else lose_at)
        if not any(codes):
            return losses_so_far
        print(f"The workers ended with {codes}.", flush=True)
        if losses_so_far < restarts:
            print("All are started again.", flush=True)
    raise ValueError(
        f"A worker was lost in each of {restarts + 1} starts. Its messages "
        "are above."
    )


def run_once(command: Sequence[str], workers: int, lose_at: int) -> list[int]:
    """Starts a cluster, and returns how each worker has ended."""
    addresses = free_addresses(workers)
    with contextlib.ExitStack() as stack:
        processes = []
        for index in range(workers):
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=environment(addresses, index),
                    # The first one alone has something to say.
                    stdout=subprocess.DEVNULL if index else subprocess.PIPE,
                    text=True,
                )
            )
            # Comes before the end of the block above, which waits.
            stack.callback(process.kill)
            processes.append(process)
        with ends_in_order(processes[0]):
            pass_on(processes, lose_at)
            return wait(processes)


@contextlib.contextmanager
def ends_in_order(worker: subprocess.Popen[str]) -> Iterator[None]:
    """Lets the workers save and end when the launcher is asked to.

    Ctrl-C reaches them by itself; another signal is passed on to one of them,
    which ends all.
    """
    handlers = {
        signal.SIGINT: lambda *_: None,
        signal.SIGTERM: lambda *_: worker.terminate(),
    }
    before = {key: signal.signal(key, how) for key, how in handlers.items()}
    try:
        yield
    finally:
        for key, handler in before.items():
            signal.signal(key, handler)


def pass_on(processes: Sequence[subprocess.Popen[str]], lose_at: int) -> None:
    """Prints what the first worker says, and kills the last when it is time."""
    first, last = processes[0], processes[-1]
    assert first.stdout is not None
    for line in first.stdout:
        print(line, end="", flush=True)
        found = STEP.search(line)
        step = int(found[1].replace(",", "")) if found else 0
        if lose_at and step >= lose_at:
            print(f"Worker {len(processes) - 1} is killed.", flush=True)
            last.kill()
            lose_at = 0


def wait(processes: Sequence[subprocess.Popen[str]]) -> list[int]:
    """Returns how each worker has ended; ends those that do not notice."""
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(NOTICE))
        except subprocess.TimeoutExpired:
            process.kill()
            codes.append(process.wait())
    return codes


def environment(addresses: Sequence[str], index: int) -> Mapping[str, str]:
    """Returns the environment of one worker."""
    config = {
        "cluster": {"worker": list(addresses)},
        "task": {"type": "worker", "index": index},
    }
    return {**os.environ, "TF_CONFIG": json.dumps(config)}


def free_addresses(count: int) -> list[str]:
    """Returns addresses of this machine that nobody listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    if "TF_CONFIG" in os.environ:
        try:
            train_as_worker(run_settings.settings_from_flags(), values.network)
        except RuntimeError as error:
            # Another worker was lost, as the message says.
            cli.fail(str(error), code=1)
        return
    lost = launch(
        [sys.executable, "-u", *sys.argv],
        workers=values.workers,
        restarts=values.restarts,
        lose_at=values.lose_at,
    )
    print(f"{values.workers} workers, {lost} times lost one.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
