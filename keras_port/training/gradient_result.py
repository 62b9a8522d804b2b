"""What computing gradients gives."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import keras
import tensorflow as tf

Pair = tuple[tf.Tensor | None, keras.Variable]
GradientObserver = Callable[[Sequence[Pair]], None]


@dataclasses.dataclass(frozen=True)
class GradientResult:
    """Holds what one pass forward and back through a model has given.

    Args:
        loss: Scalar, the loss that was differentiated, regularisation
            included; with `hard_examples` that of the whole batch.
        outputs: The model's outputs for the batch.
        grads_and_vars: List of (gradient, variable), one for each trainable variable
            in the model's order, as TensorFlow 1's
            `optimizer.compute_gradients` returned. A gradient is `None` where
            the loss does not depend on the variable.

    Example:

    >>> result = model.compute_gradients(x, y)
    >>> gradient, variable = result.grads_and_vars[0]
    >>> tuple(gradient.shape) == tuple(variable.shape)
    True
    """

    loss: tf.Tensor
    outputs: Any
    grads_and_vars: list[Pair]
