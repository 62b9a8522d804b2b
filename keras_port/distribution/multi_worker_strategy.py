"""Training on several machines."""

from collections.abc import Sequence
import json
import os
from typing import Any

import tensorflow as tf

from keras_port.distribution.meeting import meet

EXAMPLE = (
    '{"cluster": {"worker": ["first:2222", "second:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def multi_worker_strategy(
    workers: Sequence[str] | None = None,
    *,
    index: int | None = None,
    timeout: float = 300.0,
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Creates a strategy in which several machines share a batch.

    Start the same script on every machine, as a worker of the cluster. Every
    worker computes its part of the batch, and all apply the same update, so
    that their weights stay the same to the bit. The first worker, the chief,
    writes the files. The function returns when all have started.

    Every worker reads the whole batches and uses its part, so the data must be
    the same on every worker: `shuffled_batches` with the same seed.

    Args:
        workers: Addresses of all workers, `"host:port"`, the same list on every
            worker. Defaults to `None`: read them from the environment variable
            `TF_CONFIG`, which many cluster schedulers set.
        index: Position of this worker in the list. Give it only with `workers`.
            Defaults to `None`.
        timeout: Seconds to wait for the other workers to start. Defaults to
            300.

    Returns:
        A strategy in whose `scope()` the model is built and compiled. `fit`
        is called outside of it, by all workers.

    Raises:
        ValueError: If the workers are not given, or the list or `TF_CONFIG` is
            malformed.
        TimeoutError: If a worker has not started in time.
        OSError: If the port of this worker is in use.
        RuntimeError: If TensorFlow has already created a tensor.

    Example:

    >>> strategy = keras_port.distribution.multi_worker_strategy(
    ...     ["first:2222", "second:2222"], index=0
    ... )  # doctest: +SKIP
    """
    resolver = (
        resolver_of_environment(index)
        if workers is None
        else resolver_of(workers, index)
    )
    spec = resolver.cluster_spec().as_dict()
    chiefs = spec.get("chief", [])
    place = int(resolver.task_id or 0)
    if resolver.task_type != "chief":
        place += len(chiefs)
    meet([*chiefs, *spec.get("worker", [])], place, timeout)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=resolver
        )
    except RuntimeError as error:
        if "startup" not in str(error):
            raise
        raise RuntimeError(
            "`multi_worker_strategy` must be called before TensorFlow creates "
            "its first tensor, model or dataset, because it starts the "
            "connections to the other workers. Move it to the beginning of "
            "the script."
        ) from None


def resolver_of(workers: Sequence[str], index: int | None) -> Any:
    """Returns a cluster resolver for a list of workers."""
    for address in workers:
        host, colon, port = str(address).rpartition(":")
        if not (host and colon and port.isdigit()):
            raise ValueError(
                "`workers` must be addresses like 'host:2222'. "
                f"Received: {address!r}"
            )
    if len(set(workers)) != len(workers):
        raise ValueError(
            f"`workers` must have each address once. Received: {list(workers)}"
        )
    if index is None or not 0 <= index < len(workers):
        raise ValueError(
            f"`index` must be from 0 to {len(workers) - 1}, the position of "
            f"this worker in `workers`. Received: index={index}"
        )
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(workers)}),
        task_type="worker",
        task_id=index,
        rpc_layer="grpc",
    )


def resolver_of_environment(index: int | None) -> Any:
    """Returns a cluster resolver for the workers in `TF_CONFIG`."""
    if index is not None:
        raise ValueError(
            "`index` is given without `workers`, to which it belongs. Give "
            "both, or neither with the environment variable TF_CONFIG."
        )
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        known = task["index"] < len(jobs[task["type"]])
    except (ValueError, KeyError, TypeError):
        known = False
    if not known or set(jobs) - {"chief", "worker"}:
        raise ValueError(
            "The environment variable TF_CONFIG must say which the workers "
            f"are and which of them this is, like {EXAMPLE}. "
            f"Received: {text!r}. Or give `workers` and `index`."
        )
    return tf.distribute.cluster_resolver.TFConfigClusterResolver()
