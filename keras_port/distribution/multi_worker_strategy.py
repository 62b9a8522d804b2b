"""Training on several machines."""

from collections.abc import Sequence
import contextlib
import platform
import sys

import keras
import tensorflow as tf

from keras_port.distribution.cluster_config import read_cluster
from keras_port.distribution.meeting import meet
from keras_port.distribution.start_guard import start_guard
from keras_port.training import get_links
from keras_port.training import set_links
from keras_port.training import worker_errors


def multi_worker_strategy(
    workers: Sequence[str] | None = None,
    *,
    index: int | None = None,
    timeout: float = 50.0,
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Creates a strategy in which several machines share a batch.

    Start the same script on every machine, as a worker of the cluster. Every
    worker computes its part of the batch, and all apply the same update, so
    that their weights stay the same to the bit. The first worker, the chief,
    writes the files. The function returns when all have started and have the
    same list of workers and the same versions of this package, TensorFlow,
    Keras and Python. Every 10 seconds it logs for whom it waits.

    Every worker reads the whole batches and uses its part, so the data must be
    the same on every worker: `shuffled_batches` with the same seed.

    The workers stay connected. When one is lost, or sends no sign of life for
    30 seconds, `fit` raises a `RuntimeError` on all others, which names it. A
    collective operation of TensorFlow's may wait for the lost worker forever.
    So if there is no error after 7 seconds, this process prints the message
    itself and ends with exit code 1. Restart all workers then.

    TensorFlow has no authentication. Use it on a trusted network only.

    Args:
        workers: Addresses of all workers, `"host:port"`, the same list on every
            worker. Defaults to `None`: read them from the environment variable
            `TF_CONFIG`, which many cluster schedulers set.
        index: Position of this worker in the list. Give it only with `workers`.
            Defaults to `None`.
        timeout: Seconds to wait for the other workers to start. Defaults to
            50, so that all have ended within a minute if one never starts.

    Returns:
        A strategy in whose `scope()` the model is built and compiled. `fit`
        is called outside of it, by all workers.

    Raises:
        ValueError: If the workers are not given, if the list or `TF_CONFIG` is
            malformed, or if the workers have different lists or versions.
        TimeoutError: If a worker has not started in time.
        OSError: If the port of this worker is in use.
        RuntimeError: If TensorFlow has already created a tensor, or if a
            worker ends while the others wait for it.

    Example:

    >>> strategy = keras_port.distribution.multi_worker_strategy(
    ...     ["first:2222", "second:2222"], index=0
    ... )  # doctest: +SKIP
    """
    cluster = read_cluster(workers, index)
    if len(cluster.addresses) > 1:
        links = meet(cluster.addresses, cluster.index, timeout)
        set_links(links)
        links.compare("their versions", get_versions())
    try:
        with worker_errors(), guard_start():
            return tf.distribute.MultiWorkerMirroredStrategy(
                cluster_resolver=cluster.make_resolver()
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
    except tf.errors.UnknownError as error:
        if "server" not in str(error):
            raise
        address = cluster.addresses[cluster.index]
        raise OSError(
            f"TensorFlow cannot listen at the port of this worker, {address}: "
            f"{error.message}. Choose another port for all workers."
        ) from None


def guard_start() -> contextlib.AbstractContextManager[None]:
    """Returns a block that ends when a worker is lost."""
    links = get_links()
    if links is None:
        return contextlib.nullcontext()
    own = f"Worker {links.index} of {len(links.addresses)}"
    return start_guard(links.get_files(), own)


def get_versions() -> dict[str, str]:
    """Returns the versions that must be the same on all workers."""
    package = sys.modules[__name__.partition(".")[0]]
    return {
        "keras": keras.version(),
        "keras_port": package.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "tensorflow": tf.__version__,
    }
