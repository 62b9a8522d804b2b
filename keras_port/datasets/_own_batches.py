"""What is known of the datasets that this package creates."""

from collections.abc import Callable
from typing import NamedTuple
import weakref

import numpy as np
import numpy.typing as npt
import tensorflow as tf

# Takes a number of batches to skip and a number of rows. Returns the batches
# that follow as a dataset of stacks: tensors of shape (rows, batch, ...).
MakeStacks = Callable[[int, int], tf.data.Dataset]


class OwnBatches(NamedTuple):
    """What is known of a dataset of batches.

    Args:
        labels: The labels in it, in any order. A check inside the dataset
            would take up to a tenth of every step of a perceptron; these are
            checked once.
        make_stacks: Makes stacks of the batches. `None` unless they are
            endless.
    """

    labels: npt.NDArray[np.uint8]
    make_stacks: MakeStacks | None


_BATCHES: weakref.WeakKeyDictionary[tf.data.Dataset, OwnBatches] = (
    weakref.WeakKeyDictionary()
)


def note_own_batches(dataset: tf.data.Dataset, own: OwnBatches) -> None:
    """Records what is known of a dataset."""
    _BATCHES[dataset] = own


def get_own_batches(dataset: tf.data.Dataset) -> OwnBatches | None:
    """Returns what is known of a dataset, `None` if another made it."""
    return _BATCHES.get(dataset)
