"""Makes one clear error of whatever TensorFlow raises on a broken graph."""

from collections.abc import Iterator
import contextlib
import pathlib

import tensorflow as tf

from keras_port.tf1._files import first_line

GRAPH_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)


@contextlib.contextmanager
def told_of(path: pathlib.Path) -> Iterator[None]:
    """Makes errors within the block a `ValueError` that names a file."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}") from error
    except GRAPH_ERRORS as error:
        raise ValueError(
            f"{path}: TensorFlow does not accept the graph: "
            f"{type(error).__name__}: {first_line(error)}."
        ) from error
