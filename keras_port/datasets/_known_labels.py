"""The labels behind datasets that were made of them.

A check in the dataset itself costs up to a tenth of a perceptron's step, again
in each step, for labels that can be looked at once.
"""

import weakref

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_LABELS: weakref.WeakKeyDictionary[tf.data.Dataset, npt.NDArray[np.uint8]] = (
    weakref.WeakKeyDictionary()
)


def note_labels(
    dataset: tf.data.Dataset, labels: npt.NDArray[np.uint8]
) -> None:
    """Notes that a dataset has these labels, in some order, and no others."""
    _LABELS[dataset] = labels


def known_labels(dataset: tf.data.Dataset) -> npt.NDArray[np.uint8] | None:
    """Returns the labels behind a dataset, or `None` if they are not known."""
    return _LABELS.get(dataset)
