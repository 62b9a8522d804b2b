"""Says which variables the loss does not depend on."""

from collections.abc import Sequence
import warnings

import keras
import tensorflow as tf


class MissingGradients:
    """Warns once of each variable without a gradient; refuses none at all."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def check(
        self,
        gradients: Sequence[tf.Tensor | None],
        variables: Sequence[keras.Variable],
    ) -> None:
        """Raises `ValueError` if no variable has a gradient."""
        missing = [
            variable.path
            for gradient, variable in zip(gradients, variables, strict=True)
            if gradient is None
        ]
        if len(missing) == len(variables):
            raise ValueError(
                "No variable has a gradient: the loss does not depend on the "
                "weights in a way that can be differentiated. Operations such "
                "as argmax, rounding, casts to integers and NumPy functions "
                "have no gradient; take the loss from the outputs before them."
            )
        new = [path for path in missing if path not in self._warned]
        if new:
            self._warned.update(new)
            warnings.warn(
                f"The loss does not depend on {', '.join(new)}: these "
                "variables stay as they are.",
                stacklevel=3,
            )
