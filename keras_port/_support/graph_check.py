"""Checks inside graphs whose failure reaches the user as a `ValueError`."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import re

import tensorflow as tf

# Marks our messages among TensorFlow's own in an error of the runtime.
MARK = "keras_port check: "
# TensorFlow prints `assertion failed: [message] [value] [value]`, and after it
# the name of the node and the stack.
FAILED = re.compile(
    rf"assertion failed: \[{MARK}(?P<message>[^\]]*)\]"
    r"(?P<values>( \[[^\]]*\])*)"
)


def graph_check(
    condition: tf.Tensor, message: str, values: Sequence[tf.Tensor]
) -> tf.Operation:
    """Returns an operation that fails with `message` and `values`.

    Args:
        condition: Scalar boolean tensor; the check fails where it is false.
        message: What is wrong and how to fix it, without square brackets.
        values: Tensors whose values are shown after the message.
    """
    return tf.debugging.Assert(condition, [MARK + message, *values])


@contextlib.contextmanager
def value_errors() -> Iterator[None]:
    """Turns a failed `graph_check` inside the block into a `ValueError`."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        failed = FAILED.search(error.message)
        if failed is None:
            raise
        values = failed["values"].replace("[", "").replace("]", "").split()
        text = f"{failed['message']} {', '.join(values)}".strip()
        # The runtime error adds only nodes and C++ files.
        raise ValueError(text) from None
