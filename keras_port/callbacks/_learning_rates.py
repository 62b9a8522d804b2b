"""The learning rates with which the `fit`s of a training start."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_port.callbacks._configuration import get_config
from keras_port.callbacks._steps import list_optimizers

Rates = list[float]


class LearningRates:
    """Tells a rate that the program has changed from one of a callback.

    The rate is one of the variables of an optimizer, so a snapshot holds the
    one of its step. A program that is started again with another rate is
    another training.

    Args:
        here: The rates with which this `fit` starts.
        known: Those of the earlier `fit`s of the training, from its snapshot.

    Attributes:
        all: Both, for the next snapshot.
    """

    def __init__(self, here: Rates, known: Sequence[Rates]) -> None:
        self._here = here
        self._known = list(known)
        self.all = self._known
        if here not in self._known:
            self.all = [*self._known, here]

    def compare(self) -> list[str]:
        """Returns as text if the program was changed to another rate."""
        if self._here in self._known:
            return []
        there, here = (
            ", ".join(f"{rate:g}" for rate in rates)
            for rates in (self._known[0], self._here)
        )
        return [f"learning_rate {there} there, {here} here"]


def get_learning_rates(model: keras.Model) -> Rates:
    """Returns the learning rates of all optimizers that have a number."""
    rates = []
    for optimizer in list_optimizers(model):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        rate = get_config(inner).get("learning_rate")
        if isinstance(rate, int | float):
            rates.append(float(np.float32(rate)))
    return rates
