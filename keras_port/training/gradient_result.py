"""A batch, and what computing its gradients returns."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf

GradientAndVariable = tuple[tf.Tensor | None, keras.Variable]
GradientObserver = Callable[[Sequence[GradientAndVariable]], None]


@dataclasses.dataclass(frozen=True)
class GradientResult:
    """Holds the result of one forward and backward pass through a model.

    Args:
        loss: Scalar, the loss that was differentiated, including
            regularization; with an `example_selection` the loss of the whole
            batch.
        outputs: The model's outputs for the batch.
        grads_and_vars: List of (gradient, variable), one for every trainable
            variable in the model's order, as TensorFlow 1's
            `optimizer.compute_gradients` returned. A gradient is `None` if
            the loss does not depend on the variable.

    Example:

    >>> result = model.compute_gradients(x, y)
    >>> gradient, variable = result.grads_and_vars[0]
    >>> tuple(gradient.shape) == tuple(variable.shape)
    True
    """

    loss: tf.Tensor
    outputs: Any
    grads_and_vars: list[GradientAndVariable]

    def __repr__(self) -> str:
        # The gradients themselves would fill several screens.
        loss = self.loss.numpy() if hasattr(self.loss, "numpy") else self.loss
        shapes = [tuple(one.shape) for one in tf.nest.flatten(self.outputs)]
        return (
            f"GradientResult(loss={loss}, outputs of shape "
            f"{', '.join(map(str, shapes))}, {len(self.grads_and_vars)} "
            "gradients)"
        )

    @property
    def gradients(self) -> list[tf.Tensor | None]:
        """The gradients alone, in the order of the variables."""
        return [gradient for gradient, _ in self.grads_and_vars]


class Batch(NamedTuple):
    """Inputs, targets and sample weights (or `None`) of a batch."""

    x: Any
    y: Any
    sample_weight: Any = None

    @classmethod
    def unpack(cls, data: Any) -> "Batch":
        """Returns the batch of `(x, y)` or `(x, y, sample_weight)`."""
        return cls(*keras.utils.unpack_x_y_sample_weight(data))

    @property
    def size(self) -> tf.Tensor:
        """Number of examples, a scalar of int32."""
        return batch_size(self.x)


def batch_size(x: Any) -> tf.Tensor:
    """Returns the number of examples in a batch of inputs."""
    # An optional input is `None` where it is left out. A single number, such
    # as a factor for the whole batch, has no examples.
    parts = [one for one in tf.nest.flatten(x) if one is not None]
    batched = [one for one in parts if getattr(one, "shape", None) != ()]
    return tf.shape((batched or parts)[0])[0]
