"""Variables that a strategy does not copy to its devices."""

from collections.abc import Callable
import concurrent.futures
from typing import TypeVar

import tensorflow as tf

Made = TypeVar("Made")


def outside_of_strategies(make: Callable[[], Made]) -> Made:
    """Returns what `make` makes, its variables with one copy each.

    What is known of a batch as a whole, such as its loss, is one value, also
    where several devices share the batch. A strategy's scope would give each
    device a copy, which may be changed in fewer ways. TensorFlow has no way
    out of a scope but this: scopes are of their thread.

    Args:
        make: Makes objects that hold `tf.Variable`s.
    """
    if not tf.distribute.has_strategy():
        return make()
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(make).result()
