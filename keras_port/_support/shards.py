"""Which examples of the batch a device has, when several share a batch.

Both the layers and the training use it.
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
        samples: Random tensors for the whole batch, keyed by layer and number
            of the call, for devices that share them.
    """

    count: tf.Tensor
    begin: tf.Tensor
    total: tf.Tensor
    parts: int
    samples: Draws = dataclasses.field(default_factory=dict)
    _calls: collections.Counter[int] = dataclasses.field(
        default_factory=collections.Counter
    )

    def draw(self, owner: Any, draw: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Returns a random tensor for the whole batch, sampled once.

        Args:
            owner: Layer that samples; each of its calls gets a new tensor.
            draw: Samples the tensor, if no device has done so.
        """
        key = id(owner), self._calls[id(owner)]
        self._calls[id(owner)] += 1
        if key not in self.samples:
            self.samples[key] = draw()
        return self.samples[key]

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

        # So that only the rows are copied to the device.
        with tf.device("/CPU:0"):
            return tf.nest.map_structure(rows, data)

    def rows_of(self, whole: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Returns this device's `rows` rows of a tensor of the whole batch.

        A device without examples works on a row of zeros that is ignored, so
        there may be more rows than examples.
        """
        last = tf.maximum(self.total - 1, 0)
        places = self.begin + tf.range(tf.cast(rows, tf.int64))
        return tf.gather(whole, tf.minimum(places, last))


def current_shard() -> Shard | None:
    """Returns the shard that the running code works on, if it is known."""
    shard: Shard | None = getattr(_LOCAL, "shard", None)
    return shard


@contextlib.contextmanager
def working_on(shard: Shard) -> Iterator[None]:
    """Tells the layers called in the block which shard they work on."""
    before = current_shard()
    # Per thread, because `Strategy.run` has a thread for every replica.
    _LOCAL.shard = shard
    try:
        yield
    finally:
        _LOCAL.shard = before


def replica_context() -> Any:
    """Returns the context of one of several replicas, `None` elsewhere.

    Only code inside `Strategy.run` with several replicas has one. All code that
    differs from one device checks this, so that the graph of one device stays
    the same.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return None
    return context


def even_shard(
    number: int | tf.Tensor,
    parts: int,
    total: tf.Tensor,
    samples: Draws | None = None,
) -> Shard:
    """Returns the shard of one device of a batch that is split evenly.

    Args:
        number: Number of the device, from 0.
        parts: Number of devices.
        total: Examples of the batch. The remainder goes to the first devices,
            one example each; the others may get none.
        samples: Random tensors that earlier devices have sampled. Defaults to
            `None`: every device samples its own.
    """
    total = tf.cast(total, tf.int64)
    number = tf.cast(number, tf.int64)
    each, more = total // parts, total % parts
    count = each + tf.cast(number < more, tf.int64)
    begin = number * each + tf.minimum(number, more)
    return Shard(count, begin, total, parts, {} if samples is None else samples)


def shard_of_replica(context: Any, count: tf.Tensor) -> Shard:
    """Returns the shard of a replica that has `count` examples.

    The replicas exchange their counts: the last batch of an epoch may be split
    unevenly, and a replica may have no example.
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
