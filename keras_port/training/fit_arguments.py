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
    if is_endless(data) and arguments.get(steps_name) is None:
        raise ValueError(
            f"`{name}` is an endless dataset, so `fit` needs `{steps_name}`: "
            "the number of batches after which an epoch ends. Received: "
            f"{steps_name}=None. Or limit the dataset by `dataset.take(n)`."
        )


def is_endless(data: Any) -> bool:
    """Tells whether `data` is a dataset that is known to have no end."""
    if not isinstance(data, tf.data.Dataset):
        return False
    return bool(data.cardinality() == tf.data.INFINITE_CARDINALITY)


class TrainingIsOverError(Exception):
    """Raised by a callback to leave `fit` before its first step.

    Keras has no other way to run no step at all: it takes 0 steps for an
    endless epoch, and looks at `stop_training` only after a step.
    """


class TrainNothing(keras.callbacks.Callback):  # type: ignore[misc]
    """Leaves `fit`, after the other callbacks have restored what they know."""

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Leaves `fit`."""
        raise TrainingIsOverError


def replace_empty_epochs(arguments: dict[str, Any]) -> None:
    """Makes a `fit` of no step a valid call that makes none.

    Args:
        arguments: Arguments of `fit`, changed in place.
    """
    steps = arguments.get("steps_per_epoch")
    if steps is None or steps > 0:
        return
    if steps < 0:
        warnings.warn(
            f"`steps_per_epoch={steps}`: the model has made more steps than "
            "asked for, and is not trained.",
            stacklevel=3,
        )
    callbacks = [*list_callbacks(arguments), TrainNothing()]
    arguments.update(
        steps_per_epoch=1, epochs=1, initial_epoch=0, callbacks=callbacks
    )


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


def end_callbacks(arguments: dict[str, Any]) -> None:
    """Ends the training for all callbacks, after `TrainingIsOverError`.

    Args:
        arguments: Arguments of `fit`.
    """
    for callback in list_callbacks(arguments):
        callback.on_train_end()


def interrupt_callbacks(arguments: dict[str, Any]) -> None:
    """Tells callbacks that `fit` has raised an exception; Keras does not.

    Args:
        arguments: Arguments of `fit`.
    """
    for callback in list_callbacks(arguments):
        interrupt = getattr(callback, "on_train_interrupted", None)
        if callable(interrupt):
            interrupt()


def list_callbacks(arguments: dict[str, Any]) -> list[Any]:
    """Returns the callbacks among the arguments of `fit`."""
    callbacks = arguments.get("callbacks")
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    return list(tf.nest.flatten(callbacks or []))


def list_deciding_arguments(
    model: keras.Model, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Returns by name what decides the steps and evaluations of a `fit`.

    Args:
        model: The model.
        arguments: Arguments of `fit`.
    """
    names = ("batch_size", "epochs", "initial_epoch", "steps_per_epoch")
    values: dict[str, Any] = {name: arguments.get(name) for name in names}
    values["steps_per_execution"] = model.steps_per_execution
    values["iterations"] = int(model.optimizer.iterations.numpy())
    for callback in list_callbacks(arguments):
        for name in ("eval_freq", "patience"):
            if hasattr(callback, name):
                values[f"{name} of {type(callback).__name__}"] = getattr(
                    callback, name
                )
    return values
