"""How the last `fit` of a model in this process has ended."""

import pathlib
import sys
from typing import NamedTuple
import weakref

import keras

from keras_port.callbacks._configuration import Config
from keras_port.callbacks._configuration import get_configuration
from keras_port.callbacks._learning_rates import Rates
from keras_port.callbacks._learning_rates import get_learning_rates

# Learning rates and configuration of a model.
Left = tuple[Rates, Config]


class Stop(NamedTuple):
    """A `fit` that a signal has ended.

    Args:
        directory: Directory of its snapshots.
        signal: Name of the signal.
        step: Step at which it ended.
    """

    directory: pathlib.Path
    signal: str
    step: int


# Models whose `fit` has begun and not ended in order, and the learning rates
# and configuration with which it ended, as far as Keras tells.
_interrupted: "weakref.WeakKeyDictionary[keras.Model, Left | None]" = (
    weakref.WeakKeyDictionary()
)
# Models whose `fit` has ended in order, but because of a signal.
_stopped: "weakref.WeakKeyDictionary[keras.Model, Stop]" = (
    weakref.WeakKeyDictionary()
)


def forget_all() -> None:
    """Forgets what this process has done, as another process would."""
    _interrupted.clear()
    _stopped.clear()


def note_step(model: keras.Model) -> None:
    """Notes that a `fit` runs, until `note_end`."""
    _interrupted.setdefault(model, None)


def note_exception(model: keras.Model) -> None:
    """Notes the model that an exception has left."""
    if model in _interrupted:
        _interrupted[model] = describe(model)


def note_end(model: keras.Model, stop: Stop | None) -> None:
    """Notes that a `fit` has ended in order.

    Args:
        model: Its model.
        stop: The signal that has ended it, or `None`.
    """
    _interrupted.pop(model, None)
    _stopped.pop(model, None)
    if stop is not None:
        _stopped[model] = stop


def was_interrupted(model: keras.Model) -> bool:
    """Tells whether the last `fit` was interrupted."""
    return model in _interrupted


def was_stopped(model: keras.Model) -> bool:
    """Tells whether a signal has ended the last `fit`."""
    return model in _stopped


def is_as_left(model: keras.Model) -> bool:
    """Tells whether a model is as an interrupted `fit` has left it.

    Then callbacks of this `fit` have made what is different from its start,
    such as the learning rate, and not the program.
    """
    if model not in _interrupted:
        return False
    left = _interrupted[model]
    return left is None or left == describe(model)


def describe(model: keras.Model) -> Left:
    """Returns what a callback or the program may change in a model."""
    return get_learning_rates(model), get_configuration(model)


def check_stop(model: keras.Model, directory: pathlib.Path, step: int) -> None:
    """Raises `ValueError` in the next `fit` of a program to be ended.

    It would start from a model that is trained in part.

    Args:
        model: The model of the `fit` that starts.
        directory: Directory of its snapshots.
        step: Step of the model.
    """
    stop = _stopped.get(model)
    if stop is None or hasattr(sys, "ps1"):  # In a notebook, all is meant.
        return
    if stop.directory != directory or step < stop.step:
        raise ValueError(
            f"The `fit` before this one was stopped by {stop.signal} before "
            f"its end, at step {stop.step}. End the program after a `fit` "
            "whose `TerminateOnSignal.received` is not `None`, and start it "
            "again to continue."
        )
