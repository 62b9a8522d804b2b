"""Whether a layer may take the rectifier before it behind itself.

A private module of the top, because both the layers and the training need it.
"""

from collections.abc import Iterator
import contextlib
import contextvars

import tensorflow as tf

_moves = contextvars.ContextVar("moves", default=False)


@contextlib.contextmanager
def moving_rectifiers() -> Iterator[None]:
    """Lets layers compute around a rectifier, inside the block.

    Its output then lies beside the path of the gradients, and has none. So
    this is for a step that asks for the gradients of weights alone.
    """
    token = _moves.set(True)
    try:
        yield
    finally:
        _moves.reset(token)


def before_rectifier(values: tf.Tensor) -> tf.Tensor | None:
    """Returns what a rectifier made `values` of, if that may be used.

    Args:
        values: What a layer is called with.
    """
    if not _moves.get() or not tf.is_symbolic_tensor(values):
        return None
    return values.op.inputs[0] if values.op.type == "Relu" else None
