"""Trains on several machines, simulated by processes on this machine.

Without TF_CONFIG the script is a launcher: it starts --workers processes of
itself as a cluster. Every worker computes a part of every batch. When a worker
is lost, the others stop too, and the launcher restarts all workers; they
continue from the newest snapshot. --lose_at kills a worker on purpose.

On real machines, start the script on every machine, with the environment
variable TF_CONFIG and with --workdir on a disk that all machines share.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
from types import FrameType
from typing import Any

from absl import flags
import cli

with cli.quiet_imports():
    import keras
    import tensorflow as tf

    from keras_port import callbacks
    from keras_port import datasets
    from keras_port import distribution
    from keras_port import losses
    from keras_port import models
    from keras_port import optimizers
    from keras_port import runs
    from keras_port import training

NETWORKS = {
    "perceptron": models.build_perceptron,
    "cnn": models.build_cnn,
}
# Seconds in which the other workers must notice a lost one.
NOTICE_SECONDS = 60
STEP = re.compile(r"step ([\d,]+)/")


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_run_flags(
        workdir="runs/cluster",
        max_steps=1000,
        eval_freq=100,
        learning_rate=1e-4,
    )
    flags.DEFINE_integer("workers", 2, "Workers to start.", lower_bound=2)
    flags.DEFINE_enum("network", "cnn", list(NETWORKS), "Network to train.")
    flags.DEFINE_integer(
        "lose_at",
        0,
        "Kill the last worker at the first validation at or after this step, "
        "once; 0 for never.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "stopped_code",
        0,
        "Exit code of a worker when a signal has ended the training early. A "
        "scheduler that starts failed jobs again, such as Kubernetes, needs "
        "another one than 0.",
        lower_bound=0,
        upper_bound=125,
    )
    flags.DEFINE_integer(
        "restarts", 3, "Times to restart all workers.", lower_bound=0
    )


def train_as_worker(
    workdir: pathlib.Path,
    *,
    network: str,
    data_dir: pathlib.Path | None = None,
    batch_size: int = 100,
    max_steps: int = 1000,
    eval_freq: int = 100,
    patience: int = 20,
    learning_rate: float = 1e-4,
    seed: int = 1,
    save_freq: int = cli.SAVE_FREQ,
    mmap: bool = False,
) -> runs.Results:
    """Trains as the worker that `TF_CONFIG` names. Only the chief prints."""
    # Its messages of the level "info" are one per collective operation.
    tf.get_logger().setLevel("WARNING")
    strategy = distribution.multi_worker_strategy()
    mnist = datasets.load_mnist(data_dir, mmap=mmap)
    cli.check_batch_size(batch_size, len(mnist.train))
    settings = {
        "data_dir": data_dir,
        "batch_size": batch_size,
        "eval_freq": eval_freq,
        "patience": patience,
        "learning_rate": learning_rate,
        "seed": seed,
        "script": "train_cluster",
        "network": network,
    }
    run = runs.Run(
        workdir, settings=settings, max_steps=max_steps, save_freq=save_freq
    )
    if run.results is not None:
        cli.announce_finished(run)
        return run.results

    keras.utils.set_random_seed(seed)
    with strategy.scope():
        model: Any = NETWORKS[network]()
        model.compile(
            optimizer=optimizers.Adam(learning_rate),
            loss=losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
        )

    if training.is_chief(model):
        cli.announce(run)
    run.fit(
        model,
        lambda start_batch: datasets.shuffled_batches(
            mnist.train, batch_size, seed=seed, start_batch=start_batch
        ),
        callbacks=[
            callbacks.StepEvaluation(mnist.validation, eval_freq=eval_freq),
            callbacks.StepEarlyStopping(patience=patience),
            callbacks.StepCheckpoint(run.model_path),
            callbacks.StepProgress(batch_size=batch_size, patience=patience),
            callbacks.TensorBoard(
                run.log_dir,
                update_freq=10,
                histogram_freq=500,
                data=mnist.validation[:200],
                hparams=cli.get_hparams(settings),
            ),
        ],
    )
    results = run.finish(
        model,
        validation=mnist.validation,
        test=mnist.test,
        dataset=cli.dataset_name(data_dir),
    )
    if training.is_chief(model):
        print(cli.summarize(results))
    return results


def launch(
    command: Sequence[str], *, workers: int, restarts: int, lose_at: int = 0
) -> int:
    """Starts a cluster, and restarts all workers when one is lost.

    Args:
        command: Command that every worker runs.
        workers: Number of workers.
        restarts: Times to restart all workers.
        lose_at: Step at which the last worker is killed once; 0 for never.

    Returns:
        Number of times a worker was lost.

    Raises:
        ValueError: If a worker was lost more than `restarts` times.
    """
    for losses_so_far in range(restarts + 1):
        codes = run_once(command, workers, 0 if losses_so_far else lose_at)
        if not any(codes):
            return losses_so_far
        print(f"The workers ended with {codes}.", flush=True)
        if losses_so_far < restarts:
            print("All workers are restarted.", flush=True)
    raise ValueError(
        f"A worker was lost in each of {restarts + 1} starts. See its "
        "messages above."
    )


def run_once(command: Sequence[str], workers: int, lose_at: int) -> list[int]:
    """Starts a cluster, and returns the exit codes of the workers."""
    addresses = find_free_addresses(workers)
    with contextlib.ExitStack() as stack:
        processes = []
        for index in range(workers):
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=make_environment(addresses, index),
                    # Only the first worker prints.
                    stdout=subprocess.DEVNULL if index else subprocess.PIPE,
                    text=True,
                )
            )
            # Runs before `Popen` waits for the process to end.
            stack.callback(process.kill)
            processes.append(process)
        with forward_signals(processes[0]):
            print_output(processes, lose_at)
            return wait(processes)


@contextlib.contextmanager
def forward_signals(worker: subprocess.Popen[str]) -> Iterator[None]:
    """Lets the workers save and stop when the launcher gets a signal.

    The terminal sends Ctrl-C to all of them. SIGTERM is forwarded to one
    worker, which stops all.
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


def print_output(
    processes: Sequence[subprocess.Popen[str]], lose_at: int
) -> None:
    """Prints the first worker's output, and kills the last one at `lose_at`."""
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
    """Returns the workers' exit codes, and kills workers that do not stop."""
    codes = []
    for process in processes:
        try:
            codes.append(process.wait(NOTICE_SECONDS))
        except subprocess.TimeoutExpired:
            process.kill()
            codes.append(process.wait())
    return codes


def make_environment(addresses: Sequence[str], index: int) -> Mapping[str, str]:
    """Returns the environment of one worker."""
    config = {
        "cluster": {"worker": list(addresses)},
        "task": {"type": "worker", "index": index},
    }
    return {**os.environ, "TF_CONFIG": json.dumps(config)}


def find_free_addresses(count: int) -> list[str]:
    """Returns addresses on this machine that are not in use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Ends a worker by a signal outside of the training.

    In the training the signal ends all workers after the same step.
    """
    name = signal.Signals(number).name
    raise SystemExit(
        f"{name} outside of the training. The same command goes on."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    if "TF_CONFIG" in os.environ:
        signal.signal(signal.SIGTERM, end_at_once)
        try:
            with training.worker_errors():
                results = train_as_worker(
                    **cli.run_arguments(), network=values.network
                )
        except RuntimeError as error:
            # The message says that another worker was lost.
            cli.fail(str(error), code=1)
        if not results.finished:
            sys.exit(values.stopped_code)
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
