"""Errors of a full disk, with the directory that they are about."""

from collections.abc import Callable
import functools
import pathlib
import re
from typing import Any
from typing import Protocol
from typing import TypeVar

import keras
import tensorflow as tf

from keras_port.callbacks._steps import get_step

# What TensorFlow's writers of event files say.
WRITER = re.compile(r"events? (file|writer)|Summary(File)?Writer|tfevents")
Result = TypeVar("Result")


class Writes(Protocol):
    """A callback that writes event files."""

    model: keras.Model

    @property
    def log_dir(self) -> pathlib.Path:
        """Directory of the event files."""
        ...


def name_directory_in_errors(
    method: Callable[..., Result],
) -> Callable[..., Result]:
    """Lets a method of a callback raise `OSError` for a full disk.

    TensorFlow raises an error of its own, with its stack and without a word
    about what to do.
    """

    @functools.wraps(method)
    def wrapped(self: Writes, *args: Any, **kwargs: Any) -> Result:
        try:
            return method(self, *args, **kwargs)
        except tf.errors.OpError as error:
            raise_write_error(error, self.log_dir, get_step(self.model))
            raise

    return wrapped


def raise_write_error(
    error: Exception, log_dir: pathlib.Path, step: int
) -> None:
    """Raises `OSError` if TensorFlow could not write an event file.

    Args:
        error: An error of TensorFlow's.
        log_dir: Directory of the event files.
        step: Step of the training.
    """
    text = str(error)
    if not WRITER.search(text):
        return
    # The file, and the reason of the system: "/logs/events.1; No space left".
    found = re.search(r"(\S+); ([^\n\[]+)", text)
    path, reason = found.groups() if found else (log_dir, type(error).__name__)
    raise OSError(
        f"Step {step}: {path} could not be written: {reason.strip(' .')}. "
        "Free disk space, then run the same command again: it continues from "
        "the newest snapshot."
    ) from error
