"""The arguments of `fit`, checked and changed before Keras reads them."""

from collections.abc import Callable
import inspect
from typing import Any
import warnings

import keras
import tensorflow as tf


def bind_arguments(
    method: Callable[..., Any], *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Returns the arguments of a call by name.

    Args:
        method: The method that would be called.
        *args: Positional arguments.
        **kwargs: Keyword arguments.

    Raises:
        TypeError: If the method does not accept the arguments.
    """
    bound = inspect.signature(method).bind(*args, **kwargs)
    return dict(bound.arguments)


def takes_arguments(
    method: Callable[..., Any], arguments: dict[str, Any]
) -> bool:
    """Tells whether a method accepts these arguments by name."""
    try:
        inspect.signature(method).bind(**arguments)
    except TypeError:
        return False
    return True


def check_length(
    name: str, data: Any, steps_name: str, arguments: dict[str, Any]
) -> None:
    """Raises `ValueError` for a dataset that `fit` cannot read to an end.

    Keras 3 would train one endless epoch (tensorflow#39277).

    Args:
        name: Name of the argument that holds the data.
        data: The data.
        steps_name: Name of the argument that limits the steps.
        arguments: Arguments of `fit`.
    """
    if isinstance(data, tf.distribute.DistributedDataset):
        raise ValueError(
            f"`{name}` is a dataset that a strategy has distributed, but `fit` "
            "divides every batch among the devices itself. Give it the "
            "dataset of whole batches."
        )
    if not isinstance(data, tf.data.Dataset):
        return
    is_endless = data.cardinality() == tf.data.INFINITE_CARDINALITY
    if is_endless and arguments.get(steps_name) is None:
        raise ValueError(
            f"`{name}` is an endless dataset, so `fit` needs `{steps_name}`: "
            "the number of batches after which an epoch ends. Received: "
            f"{steps_name}=None. Or limit the dataset by `dataset.take(n)`."
        )


def set_steps(arguments: dict[str, Any]) -> bool:
    """Returns whether there is nothing to train, and makes that a valid call.

    Keras takes 0 steps and a negative number for "not given", and trains an
    endless dataset forever.

    Args:
        arguments: Arguments of `fit`, changed in place.
    """
    steps = arguments.get("steps_per_epoch")
    if steps is None or steps > 0:
        return False
    if steps < 0:
        warnings.warn(
            f"`steps_per_epoch={steps}`: the model has made more steps than "
            "asked for, and is not trained.",
            stacklevel=3,
        )
    arguments.update(steps_per_epoch=1, epochs=1, initial_epoch=0)
    return True


def prepare_callbacks(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Lets callbacks see and change the arguments of `fit`.

    A callback cannot see them in Keras: `TrainingState` must know the data and
    the other callbacks, and where the epochs start.

    Args:
        model: The model.
        arguments: Arguments of `fit`, changed in place.
    """
    for callback in list_callbacks(arguments):
        prepare = getattr(callback, "prepare_fit", None)
        if callable(prepare):
            prepare(model, arguments)


def tell_callbacks(arguments: dict[str, Any]) -> None:
    """Tells callbacks that `fit` has raised an exception, which Keras does not.

    Args:
        arguments: Arguments of `fit`.
    """
    for callback in list_callbacks(arguments):
        end = getattr(callback, "on_train_interrupted", None)
        if callable(end):
            end()


def list_callbacks(arguments: dict[str, Any]) -> list[Any]:
    """Returns the callbacks among the arguments of `fit`."""
    callbacks = arguments.get("callbacks")
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    return list(tf.nest.flatten(callbacks or []))
