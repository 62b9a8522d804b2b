"""The labels of datasets that this package creates.

A check inside the dataset would take up to a tenth of every step of a
perceptron. These labels are checked once.
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
    """Records the labels of a dataset, in any order."""
    _LABELS[dataset] = labels


def known_labels(dataset: tf.data.Dataset) -> npt.NDArray[np.uint8] | None:
    """Returns the labels of a dataset, or `None` if they are not known."""
    return _LABELS.get(dataset)
