"""Loss scaling that is hidden from the code between the two steps.

In float16 small gradients underflow to 0, so the loss is multiplied by a scale
before it is differentiated, and an optimizer under `mixed_float16` divides by
the same scale. Code that forgets one of the two updates the weights 32,768
times too much or too little (keras#19479, keras#20894). Here both happen in
one module, and all code in between sees the gradients of the loss itself.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


def scales_loss(optimizer: keras.optimizers.Optimizer) -> bool:
    """Tells whether the optimizer expects gradients of a scaled loss."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or bool(
        optimizer.loss_scale_factor
    )


def unscale(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor | None],
    dtype: tf.DType,
) -> list[tf.Tensor | None]:
    """Returns the gradients of the loss, given those of the scaled loss.

    Args:
        optimizer: The optimizer whose `scale_loss` has scaled the loss.
        gradients: One for every variable.
        dtype: Dtype of the loss.
    """
    if not scales_loss(optimizer):
        return list(gradients)
    scale = optimizer.scale_loss(tf.ones((), dtype))
    return [
        None if gradient is None else gradient / scale for gradient in gradients
    ]


def apply_unscaled(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
) -> tf.Tensor:
    """Applies gradients of the loss by an optimizer that expects scaled ones.

    Returns:
        Boolean scalar, whether the optimizer skipped the update because a
        gradient is not finite.
    """
    # The scale is a power of two, so dividing by it and multiplying again is
    # exact.
    scaled = [optimizer.scale_loss(gradient) for gradient in gradients]
    optimizer.apply(scaled, variables)
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return tf.constant(False)
    # `optimizer.iterations` cannot tell: it also stays the same while an
    # optimizer accumulates.
    finite = [tf.reduce_all(tf.math.is_finite(one)) for one in scaled]
    return ~tf.reduce_all(finite)
