"""Starts workers of a cluster as processes of this machine."""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
from pathlib import Path
import socket
import subprocess
import sys
from typing import Any

import numpy as np

from tests.distribution.worker import Job

ROOT = Path(__file__).parents[2]


def free_addresses(count: int) -> list[str]:
    """Returns addresses on the loopback that nobody listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


@contextlib.contextmanager
def started(
    job: Job,
    workers: int,
    addresses: list[str] | None = None,
    only: int | None = None,
) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts the workers of a job; 0 for a process without a cluster."""
    Path(job.workdir).mkdir(parents=True, exist_ok=True)
    addresses = addresses or free_addresses(workers)
    processes = []
    for index in range(max(workers, 1)):
        if only not in (None, index):
            continue
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        environment.pop("TF_CONFIG", None)
        if workers:
            environment["TF_CONFIG"] = json.dumps(
                {
                    "cluster": {"worker": addresses},
                    "task": {"type": "worker", "index": index},
                }
            )
        arguments = json.dumps(dataclasses.asdict(job))
        with open(Path(job.workdir) / f"worker-{index}.err", "a") as errors:
            processes.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-u", "-m"),
                        *("tests.distribution.worker", arguments),
                    ],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def finished(job: Job, workers: int) -> list[dict[str, Any]]:
    """Runs a job to its end, and returns what each worker has seen."""
    with started(job, workers) as processes:
        for index, process in enumerate(processes):
            process.communicate(timeout=300)
            assert process.returncode == 0, errors_of(job, index)
    return [seen_by(job, index) for index in range(max(workers, 1))]


def seen_by(job: Job, index: int) -> dict[str, Any]:
    """Returns what a worker has left."""
    path = Path(job.workdir) / f"worker-{index}.npz"
    with np.load(path) as content:
        return {name: content[name] for name in content.files}


def errors_of(job: Job, index: int) -> str:
    """Returns what a worker has written to its standard error."""
    return (Path(job.workdir) / f"worker-{index}.err").read_text("utf-8")
