"""Reads which workers a cluster has, and which of them this process is."""

from collections.abc import Sequence
import dataclasses
import json
import os
from typing import Any
from typing import TypeGuard

import tensorflow as tf

EXAMPLE = (
    '{"cluster": {"worker": ["first:2222", "second:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a cluster, seen from one of them.

    Args:
        jobs: Addresses by job, `"chief"` or `"worker"`.
        task_type: Job of this process.
        task_index: Its position among the addresses of the job.
    """

    jobs: dict[str, list[str]]
    task_type: str
    task_index: int

    @property
    def addresses(self) -> list[str]:
        """Addresses of all workers, that of the chief first."""
        return [*self.jobs.get("chief", []), *self.jobs.get("worker", [])]

    @property
    def index(self) -> int:
        """Position of this process in `addresses`."""
        before = self.jobs.get("chief", []) if self.task_type != "chief" else []
        return len(before) + self.task_index

    def make_resolver(self) -> Any:
        """Returns TensorFlow's description of the cluster."""
        return tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(self.jobs),
            task_type=self.task_type,
            task_id=self.task_index,
            rpc_layer="grpc",
        )


def read_cluster(workers: Sequence[str] | None, index: int | None) -> Cluster:
    """Returns the cluster of the arguments, or else that of `TF_CONFIG`.

    Raises:
        ValueError: If the cluster is malformed.
    """
    if workers is not None:
        return read_arguments(workers, index)
    if index is not None:
        raise ValueError(
            "`index` is given without `workers`, to which it belongs. Give "
            "both, or neither with the environment variable TF_CONFIG."
        )
    text = os.environ.get("TF_CONFIG", "")
    try:
        return read_config(json.loads(text))
    except ValueError as error:
        raise ValueError(
            "The environment variable TF_CONFIG must say which the workers "
            f"are and which of them this is, like {EXAMPLE}. Received: "
            f"{text!r} ({error}). Or give `workers` and `index`."
        ) from None


def read_arguments(workers: Sequence[str], index: int | None) -> Cluster:
    """Returns the cluster of the arguments of `multi_worker_strategy`."""
    if isinstance(workers, str) or not workers:
        raise ValueError(
            "`workers` must be a list of addresses like 'host:2222'. "
            f"Received: workers={workers!r}"
        )
    for address in workers:
        problem = find_problem(address)
        if problem:
            raise ValueError(
                "`workers` must be addresses like 'host:2222'. "
                f"Received: {address!r}: {problem}"
            )
    if len(set(workers)) != len(workers):
        raise ValueError(
            f"`workers` must have each address once. Received: {list(workers)}"
        )
    if not is_index(index) or not 0 <= index < len(workers):
        raise ValueError(
            f"`index` must be from 0 to {len(workers) - 1}, the position of "
            f"this worker in `workers`. Received: index={index!r}"
        )
    return Cluster({"worker": list(workers)}, "worker", int(index))


def read_config(config: Any) -> Cluster:
    """Returns the cluster of a `TF_CONFIG`.

    Raises:
        ValueError: Says in a few words what is wrong.
    """
    jobs = config.get("cluster") if isinstance(config, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise ValueError("it has no 'cluster'")
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown:
        raise ValueError(
            f"the job {unknown[0]!r} does not train; only 'chief' and "
            "'worker' do"
        )
    addresses = []
    for job, members in jobs.items():
        if not isinstance(members, list) or not members:
            raise ValueError(f"{job!r} must be a list of addresses")
        for address in members:
            problem = find_problem(address)
            if problem:
                raise ValueError(f"the address {address!r}: {problem}")
        addresses += members
    if len(jobs.get("chief", [])) > 1:
        raise ValueError("there can be one chief only")
    for address in addresses:
        if addresses.count(address) > 1:
            raise ValueError(f"the address {address!r} is given twice")
    return Cluster(jobs, *read_task(config.get("task"), jobs))


def read_task(task: Any, jobs: dict[str, list[str]]) -> tuple[str, int]:
    """Returns the job and the index of this process."""
    if not isinstance(task, dict):
        raise ValueError("it has no 'task'")
    job, index = task.get("type"), task.get("index")
    if job not in jobs:
        raise ValueError(f"the type {job!r} of the task is no job of 'cluster'")
    # Some launchers write the number as a string.
    if isinstance(index, str) and index.isascii() and index.isdecimal():
        index = int(index)
    if not is_index(index) or not 0 <= index < len(jobs[job]):
        raise ValueError(
            f"the index of the task must be from 0 to {len(jobs[job]) - 1}, "
            f"and is {index!r}"
        )
    return job, index


def is_index(value: Any) -> TypeGuard[int]:
    """Tells whether a value is an integer, and not True or False."""
    # NumPy's integers have this method, too.
    return hasattr(value, "__index__") and not isinstance(value, bool)


def find_problem(address: Any) -> str:
    """Returns what is wrong with an address, or an empty text."""
    if not isinstance(address, str):
        return "it is no text"
    host, colon, port = address.rpartition(":")
    if not (host and colon):
        return "it has no port"
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        return "an IPv6 address must be in brackets, '[::1]:2222'"
    if any(c.isspace() or c == "/" for c in address):
        return "it must be a host and a port only"
    if not (port.isascii() and port.isdecimal()):
        return f"the port {port!r} is no number"
    if not 0 < int(port) < 1 << 16:
        return f"the port {port} is not between 1 and 65535"
    return ""
