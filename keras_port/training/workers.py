"""The processes of a cluster that train one model together."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import re
from typing import Any

import keras
import tensorflow as tf

from keras_port.training.replicas import replicas_of

SUM = tf.distribute.ReduceOp.SUM
# In the line that says what happened, among those that name nodes and files.
REASON = re.compile("connect|collective|worker|health", re.IGNORECASE)
# What TensorFlow raises when the connection to another process has ended.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)


class Workers:
    """The workers of a model's strategy, as one of them sees them.

    Each method that communicates must be called by all workers, in the same
    order; a worker waits there for the others.

    Args:
        strategy: Of the model.

    Attributes:
        count: Number of workers.
        index: Of this one, from 0. The first is the chief, who writes files.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        resolver = strategy.cluster_resolver
        spec = resolver.cluster_spec().as_dict()
        chiefs = len(spec.get("chief", []))
        self.count = chiefs + len(spec.get("worker", []))
        first = 0 if resolver.task_type == "chief" else chiefs
        self.index = first + int(resolver.task_id or 0)

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the files."""
        return self.index == 0

    def sums(self, values: Sequence[Any]) -> list[tf.Tensor]:
        """Returns the sums over all workers, the same on each to the bit."""
        tensors = [tf.convert_to_tensor(value) for value in values]
        return list(sum_function(self._strategy)(tensors))

    def values(self, value: float) -> list[float]:
        """Returns what each worker has given, in their order."""
        own = [0.0] * self.count
        own[self.index] = float(value)
        (every,) = self.sums([tf.constant(own, tf.float64)])
        return [float(one) for one in every.numpy()]


def workers_of(model: keras.Model) -> Workers | None:
    """Returns the workers that train a model, `None` if it is one process."""
    strategy = replicas_of(model)
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None
    workers = Workers(strategy)
    return workers if workers.count > 1 else None


def is_chief(model: keras.Model) -> bool:
    """Tells whether this process writes the files of a training.

    On several machines the first does. What all of them have to do, such as
    evaluating, must not depend on it.

    Args:
        model: The model in training.

    Example:

    >>> is_chief(model)
    True
    """
    workers = workers_of(model)
    return workers is None or workers.is_chief


@functools.cache
def sum_function(strategy: Any) -> Callable[[list[tf.Tensor]], Any]:
    """Returns a function that adds up tensors over all workers."""

    def on_replica(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        workers = Workers(strategy).count
        local = context.num_replicas_in_sync // workers
        # One of a worker's devices speaks for it.
        speaks = context.replica_id_in_sync_group % local == 0
        spoken = [
            tf.where(speaks, tensor, tf.zeros_like(tensor))
            for tensor in tensors
        ]
        reduced: list[tf.Tensor] = context.all_reduce(SUM, spoken)
        return reduced

    def add(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        results = strategy.run(on_replica, (tensors,))
        return [
            strategy.experimental_local_results(result)[0] for result in results
        ]

    return tf.function(add, autograph=False)  # type: ignore[no-any-return]


@contextlib.contextmanager
def lost_worker_errors(model: keras.Model) -> Iterator[None]:
    """Says in one error what it means that a worker cannot be reached."""
    workers = workers_of(model)
    if workers is None:
        yield
        return
    try:
        yield
    except LOST as error:
        lines = [line.strip() for line in (error.message or "").splitlines()]
        reasons = [line for line in lines if REASON.search(line)]
        raise RuntimeError(
            f"Worker {workers.index} of {workers.count} has lost the "
            "connection to another worker, which has ended or cannot be "
            "reached, and a training cannot go on without it. Start all "
            "workers again: with `TrainingState` it goes on from the newest "
            f"snapshot. TensorFlow says: {' '.join(reasons[:1]) or error}"
        ) from None
