"""The processes of a cluster that train one model together."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import functools
import re
from typing import Any

import keras
import tensorflow as tf

from keras_port.training.sharing.links import Links
from keras_port.training.sharing.links import LostWorkerError
from keras_port.training.sharing.links import describe
from keras_port.training.sharing.links import get_links
from keras_port.training.sharing.replicas import get_strategy

SUM = tf.distribute.ReduceOp.SUM
# Found in the line of TensorFlow's message that says what happened.
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
    """The workers of a model's strategy, seen from one of them.

    All workers must call the methods that communicate, in the same order: a
    worker waits there for the others.

    Args:
        strategy: Strategy of the model.

    Attributes:
        count: Number of workers.
        index: Index of this worker, from 0. The first is the chief, which
            writes the files.
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

    def sum(self, values: Sequence[Any]) -> list[tf.Tensor]:
        """Returns sums over all workers, equal bit for bit on all of them."""
        tensors = [tf.convert_to_tensor(value) for value in values]
        with needing_all_workers():
            return list(sum_function(self._strategy)(tensors))

    def gather(self, value: float) -> list[float]:
        """Returns the values of all workers, in their order."""
        own = [0.0] * self.count
        own[self.index] = float(value)
        (values,) = self.sum([tf.constant(own, tf.float64)])
        return [float(one) for one in values.numpy()]


def get_workers(model: keras.Model) -> Workers | None:
    """Returns the workers that train a model, `None` if it is one process."""
    strategy = get_strategy(model)
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None
    workers = Workers(strategy)
    return workers if workers.count > 1 else None


def is_chief(model: keras.Model) -> bool:
    """Tells whether this process is the chief, which writes the files.

    On several machines the first one is. Work that all of them have to do,
    such as evaluating, must not depend on it.

    Args:
        model: The model in training.

    Example:

    >>> is_chief(model)
    True
    """
    workers = get_workers(model)
    return workers is None or workers.is_chief


@functools.cache
def sum_function(strategy: Any) -> Callable[[list[tf.Tensor]], Any]:
    """Returns a function that adds up tensors over all workers."""

    def on_replica(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        workers = Workers(strategy).count
        local = context.num_replicas_in_sync // workers
        # One device of a worker contributes for it.
        is_first = context.replica_id_in_sync_group % local == 0
        own = [
            tf.where(is_first, tensor, tf.zeros_like(tensor))
            for tensor in tensors
        ]
        reduced: list[tf.Tensor] = context.all_reduce(SUM, own)
        return reduced

    def add(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        results = strategy.run(on_replica, (tensors,))
        return [
            strategy.experimental_local_results(result)[0] for result in results
        ]

    return tf.function(add, autograph=False)  # type: ignore[no-any-return]


@contextlib.contextmanager
def worker_errors() -> Iterator[None]:
    """Says on every worker of a cluster which one has ended, and why.

    `fit`, `Run` and `multi_worker_strategy` do so themselves. Put the whole
    program of a worker into this block, so that the other workers know why it
    ends if it fails before or after them, for instance because it cannot read
    its data. Without a cluster it has no effect.

    Raises:
        RuntimeError: In place of TensorFlow's error if another worker is lost.

    Example:

    >>> with worker_errors():
    ...     model = build_perceptron()
    """
    try:
        yield
    except BaseException as error:
        links = get_links()
        if links is None or isinstance(error, LostWorkerError):
            raise
        lost = find_lost_worker(links, error)
        if lost is not None:
            raise lost from None
        if not isinstance(error, SystemExit) or error.code:
            links.give_reason(describe(error))
        raise


def find_lost_worker(
    links: Links, error: BaseException
) -> LostWorkerError | None:
    """Returns the worker whose loss is the cause of an error, if it is one."""
    if isinstance(error, LOST):
        return links.explain()
    if isinstance(error, (tf.errors.OpError, RuntimeError)):
        return links.find_loss()
    return None


@contextlib.contextmanager
def lost_worker_errors(model: keras.Model) -> Iterator[None]:
    """Raises one clear error if another worker cannot be reached."""
    workers = get_workers(model)
    if workers is None:
        yield
        return
    try:
        with worker_errors():
            yield
    except LOST as error:
        # The workers have not met by `multi_worker_strategy`, or all are there.
        lines = [line.strip() for line in (error.message or "").splitlines()]
        reasons = [line for line in lines if REASON.search(line)]
        reason = reasons[0] if reasons else error
        raise RuntimeError(
            f"Worker {workers.index} of {workers.count} has lost the "
            "connection to another worker, which has ended or cannot be "
            "reached, and the training cannot continue without it. Restart "
            "all workers: with `TrainingState` the training continues from "
            f"the newest snapshot. TensorFlow says: {reason}"
        ) from None


def needing_all_workers() -> contextlib.AbstractContextManager[None]:
    """Returns a block that no worker of a cluster can do alone."""
    links = get_links()
    return contextlib.nullcontext() if links is None else links.needing_all()


def compare_workers(name: str, values: Mapping[str, Any]) -> None:
    """Raises `ValueError` on all workers if a value is not the same.

    Without a cluster it has no effect.

    Args:
        name: What is compared, for messages.
        values: Values by their names.
    """
    links = get_links()
    if links is not None:
        links.compare(name, values)
