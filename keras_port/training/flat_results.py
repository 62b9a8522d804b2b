"""Results as single numbers."""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def flatten_results(results: Mapping[str, Any]) -> dict[str, float]:
    """Returns a number for every value of every result.

    A metric with one value per class gives `f1_score_0`, `f1_score_1` and so
    on. A result that is a dictionary gives a number per key under that key, as
    Keras does. What is not a number is left out. The loss comes first.

    Args:
        results: Numbers, arrays, and lists or dictionaries of them, by name.
    """
    # Keras 3.12 sorts the results by name, Keras 3.15 does not.
    ordered = sorted(results.items(), key=lambda item: item[0] != "loss")
    return {
        name: value
        for metric, result in ordered
        for name, value in _walk(str(metric), result)
    }


def _walk(name: str, result: Any) -> Iterator[tuple[str, float]]:
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _walk(str(key), value)
        return
    if isinstance(result, list | tuple):
        for index, value in enumerate(result):
            yield from _walk(f"{name}_{index}", value)
        return
    # NumPy cannot make a view of a bfloat16 scalar.
    array = np.asarray(result.numpy() if tf.is_tensor(result) else result)
    # `V` is what NumPy says of bfloat16.
    if array.dtype.kind not in "biufV":
        return
    if array.ndim == 0:
        yield name, float(array)
        return
    for index, value in enumerate(array.ravel()):
        yield f"{name}_{index}", float(value)
