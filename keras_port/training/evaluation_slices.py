"""Cuts the data of an evaluation into slices of tensors."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_port.datasets._mapped import is_mapped


class MappedSlices(Sequence[Any]):
    """Slices of data in a mapped file, each read when it is asked for.

    Args:
        take: Returns the arrays of a part of the data.
        starts: Where each slice begins.
        size: Examples in a slice at the most.
    """

    def __init__(
        self, take: Callable[[slice], Any], starts: range, size: int
    ) -> None:
        self._take = take
        self._starts = starts
        self._size = size

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return MappedSlices(self._take, self._starts[index], self._size)
        start = self._starts[index]
        return as_tensors(self._take(slice(start, start + self._size)))


def sliced(arrays: Any, length: int, size: int) -> Sequence[Any]:
    """Returns the slices of the arrays as tensors.

    They are made once. Only where arrays are in a mapped file, each slice is
    made anew when it is asked for.

    Args:
        arrays: The arrays, maybe nested.
        length: Examples in the arrays.
        size: Examples in a slice at the most.
    """
    starts = range(0, length, size)
    if any(is_mapped(array) for array in tf.nest.flatten(arrays)):
        return MappedSlices(lambda part: part_of(arrays, part), starts, size)
    tensors = as_tensors(arrays)
    return [part_of(tensors, slice(at, at + size)) for at in starts]


def part_of(arrays: Any, part: slice) -> Any:
    """Returns a part of each array or tensor."""
    return tf.nest.map_structure(lambda array: array[part], arrays)


def as_tensors(arrays: Any) -> Any:
    """Returns the arrays as tensors."""
    return tf.nest.map_structure(tf.convert_to_tensor, arrays)
