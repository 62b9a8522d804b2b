"""Which examples of the batch a device has, when several share a batch.

A private module of the top, because both the layers and the training need it.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import threading
from typing import Any

import tensorflow as tf

_LOCAL = threading.local()

Draws = dict[tuple[int, int], Any]


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of a batch that one device works on.

    Args:
        count: Examples of this device, perhaps 0; a scalar of int64.
        begin: Examples of the devices before it.
        total: Examples of the whole batch.
        parts: Number of devices that share it.
        drawn: What was drawn at random for the whole batch, by who drew it and
            how often before, for devices that share the draws.
    """

    count: tf.Tensor
    begin: tf.Tensor
    total: tf.Tensor
    parts: int
    drawn: Draws = dataclasses.field(default_factory=dict)
    _calls: collections.Counter[int] = dataclasses.field(
        default_factory=collections.Counter
    )

    def draw(self, owner: Any, draw: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Returns what `owner` draws for the whole batch, once for it.

        Args:
            owner: Layer that draws; in each of its calls anew.
            draw: Draws it, if no device before this one has.
        """
        key = id(owner), self._calls[id(owner)]
        self._calls[id(owner)] += 1
        if key not in self.drawn:
            self.drawn[key] = draw()
        return self.drawn[key]

    def of_batch(self, data: Any) -> Any:
        """Returns this device's rows of a batch in the memory of the CPU."""

        def rows(tensor: Any) -> Any:
            if tensor is None:
                return None
            own = tensor[self.begin : self.begin + self.count]
            if tensor.shape[0] and tensor.shape[0] % self.parts == 0:
                each = tensor.shape[0] // self.parts
                own.set_shape([each, *tensor.shape[1:]])
            return own

        # So that only the rows go to the device, and not the whole batch.
        with tf.device("/CPU:0"):
            return tf.nest.map_structure(rows, data)

    def rows_of(self, whole: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Returns this device's `rows` rows out of those of the whole batch.

        A device without examples works on a row of zeros that counts for
        nothing, so there may be more rows than examples.
        """
        last = tf.maximum(self.total - 1, 0)
        places = self.begin + tf.range(tf.cast(rows, tf.int64))
        return tf.gather(whole, tf.minimum(places, last))


def current_shard() -> Shard | None:
    """Returns the share that the running code works on, if it is known."""
    shard: Shard | None = getattr(_LOCAL, "shard", None)
    return shard


@contextlib.contextmanager
def working_on(shard: Shard) -> Iterator[None]:
    """Says to the layers called in the block which share they work on."""
    before = current_shard()
    # Of the thread, because `Strategy.run` has a thread for each replica.
    _LOCAL.shard = shard
    try:
        yield
    finally:
        _LOCAL.shard = before


def replica_context() -> Any:
    """Returns the context of one of several replicas, `None` elsewhere.

    Only what `Strategy.run` runs with several replicas is in one. Everything
    that differs from one device asks here, so that the graph of one device is
    as it always was.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def even_shard(
    number: int | tf.Tensor,
    parts: int,
    total: tf.Tensor,
    drawn: Draws | None = None,
) -> Shard:
    """Returns the share of one of several devices in a batch dealt evenly.

    Args:
        number: Of the device, from 0.
        parts: Number of devices.
        total: Examples of the batch. What does not come out even goes to the
            first devices, one example each; the others may get nothing.
        drawn: What devices before this one have drawn. Defaults to `None`:
            each draws by itself.
    """
    total = tf.cast(total, tf.int64)
    number = tf.cast(number, tf.int64)
    each, more = total // parts, total % parts
    count = each + tf.cast(number < more, tf.int64)
    begin = number * each + tf.minimum(number, more)
    return Shard(count, begin, total, parts, {} if drawn is None else drawn)


def shard_of_replica(context: Any, count: tf.Tensor) -> Shard:
    """Returns the share of a replica that has `count` examples.

    The replicas tell each other how many they have: the last batch of an epoch
    may be shared unevenly, and a replica may get nothing.
    """
    parts = context.num_replicas_in_sync
    own = context.replica_id_in_sync_group
    count = tf.cast(count, tf.int64)
    counts = context.all_reduce(
        tf.distribute.ReduceOp.SUM,
        tf.one_hot(own, parts, dtype=tf.int64) * count,
    )
    begin = tf.reduce_sum(counts[:own])
    return Shard(count, begin, tf.reduce_sum(counts), parts)
