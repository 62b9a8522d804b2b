"""Turns TensorFlow's errors about a broken graph into one clear error."""

from collections.abc import Iterator
import contextlib
import pathlib

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1._files import first_line
from keras_port.tf1._files import show_path

MAX_MESSAGE = 2000
# What TensorFlow raises when it reads or traces a broken graph.
GRAPH_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)


@contextlib.contextmanager
def name_file_in_errors(path: pathlib.Path) -> Iterator[None]:
    """Re-raises errors in the block as a `ValueError` that names the file."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith((str(path), show_path(path))):
            raise
        # Whatever names of the file are in it, it is one line.
        text = show_name(str(error), max_length=MAX_MESSAGE)
        raise ValueError(f"{show_path(path)}: {text}") from error
    except GRAPH_ERRORS as error:
        raise ValueError(
            f"{show_path(path)}: TensorFlow does not accept the graph: "
            f"{type(error).__name__}: {first_line(error)}."
        ) from error


@contextlib.contextmanager
def name_layer_in_errors() -> Iterator[None]:
    """Re-raises errors in the block as a `ValueError` about a configuration."""
    try:
        yield
    except GRAPH_ERRORS as error:
        if str(error).startswith("The ") and isinstance(error, ValueError):
            raise
        raise ValueError(
            "The configuration of this `GraphLayer` is broken: "
            f"{type(error).__name__}: {first_line(error)}. Get the file again "
            "from where it was made."
        ) from error
