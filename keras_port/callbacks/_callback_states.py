"""The states of the callbacks in a snapshot."""

from collections.abc import Iterable
import pathlib
from typing import Any

import keras

from keras_port.callbacks._snapshot_content import CALLBACKS as CHECKED
from keras_port.callbacks._stock_state import STOCK_CALLBACKS
from keras_port.callbacks._stock_state import StockState
from keras_port.callbacks._stock_state import find_foreign_value

States = dict[str, dict[str, Any]]
# Callbacks that only show the training: a program may add them and leave them
# out.
DISPLAYS = ("StepProgress", "TensorBoard")


class CallbackStates:
    """Gets and sets the states of the callbacks of a `fit`.

    A state is known by the name of its callback, and a number if there are
    several of them.

    Args:
        callbacks: The callbacks, in order. Duplicates, and callbacks without a
            state, are left out.
    """

    def __init__(self, callbacks: Iterable[Any]) -> None:
        self._callbacks: dict[str, Any] = {}
        seen: list[Any] = []
        for callback in callbacks:
            if any(callback is other for other in seen):
                continue
            seen.append(callback)
            if has_stock_state(callback):
                callback = StockState(callback)
            if hasattr(callback, "get_state"):
                self._add(callback)

    def _add(self, callback: Any) -> None:
        name = getattr(callback, "state_name", type(callback).__name__)
        if name in CHECKED and not is_known(callback):
            # One of the user's own, whose state has other fields.
            name = f"{type(callback).__module__}.{name}"
        same = sum(get_name(key) == name for key in self._callbacks)
        self._callbacks[f"{name}:{same}"] = callback

    @property
    def has_stopped(self) -> bool:
        """Whether one of the callbacks has stopped the training."""
        return any(
            getattr(callback, "stopped_step", None) is not None
            # Of a subclass of `EarlyStopping` with a state of its own.
            or getattr(callback, "stopped_epoch", 0)
            for callback in self._callbacks.values()
        )

    def compare(self, states: States) -> list[str]:
        """Returns as text which callbacks were added or left out."""
        there, here = set(states), set(self._callbacks)
        lines = []
        for place, keys in (("there", there - here), ("here", here - there)):
            deciding = sorted(
                get_name(key) for key in keys if get_name(key) not in DISPLAYS
            )
            if deciding:
                lines.append(f"only {place} `{'`, `'.join(deciding)}`")
        return lines

    def get_states(self) -> States:
        """Returns the states of all callbacks.

        Raises:
            TypeError: If one holds what a snapshot cannot.
        """
        return {
            key: get_state(get_name(key), callback)
            for key, callback in self._callbacks.items()
        }

    def set_states(
        self, states: States, path: pathlib.Path, *, skipped: int
    ) -> None:
        """Restores the states of the callbacks that are there.

        Args:
            states: What `get_states` returned.
            path: The file of the snapshot, for errors.
            skipped: Batches that `fit` is going to skip.

        Raises:
            ValueError: If a state is not what its callback expects.
        """
        for key, state in states.items():
            callback = self._callbacks.get(key)
            if callback is None:
                continue  # One that only showed the training.
            set_state(get_name(key), callback, state, path)
            if isinstance(callback, StockState):
                callback.expect_skipped(skipped)

    def set_foreign_states(self, states: States, path: pathlib.Path) -> None:
        """Restores the states of callbacks of the user's own once more.

        Args:
            states: What `get_states` returned.
            path: The file of the snapshot, for errors.
        """
        for key, state in states.items():
            callback = self._callbacks.get(key)
            if callback is not None and not is_known(callback):
                set_state(get_name(key), callback, state, path)


def is_known(callback: Any) -> bool:
    """Tells whether this package defines what the state of a callback holds."""
    package, _, _ = __name__.partition(".")
    return type(callback).__module__.startswith(f"{package}.")


def has_stock_state(callback: Any) -> bool:
    """Tells whether Keras' callback keeps its state in attributes.

    A subclass may have methods of its own for it.
    """
    has_methods = hasattr(callback, "get_state") and hasattr(
        callback, "set_state"
    )
    return isinstance(callback, STOCK_CALLBACKS) and not has_methods


def set_state(
    name: str, callback: Any, state: dict[str, Any], path: pathlib.Path
) -> None:
    """Restores the state of a callback.

    Args:
        name: What errors call the callback.
        callback: The callback.
        state: What its `get_state` returned.
        path: The file of the snapshot, for errors.

    Raises:
        ValueError: If the state is not what the callback expects.
    """
    try:
        callback.set_state(state)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"The state of `{name}` in {path} cannot be restored: "
            f"{type(error).__name__}: {reason}. Move the file away to continue "
            "from the one before it."
        ) from error


def get_name(key: str) -> str:
    """Returns the name of the callback in the key of its state."""
    return key.rpartition(":")[0]


def get_state(name: str, callback: Any) -> dict[str, Any]:
    """Returns the state of a callback.

    Args:
        name: What errors call the callback.
        callback: The callback.

    Raises:
        TypeError: If the state holds what a snapshot cannot.
    """
    state: dict[str, Any] = callback.get_state()
    found = find_foreign_value(state)
    if found:
        raise TypeError(
            f"`get_state` of `{name}` must return dictionaries with string "
            "keys, lists, numbers, strings, None and arrays. Received: "
            f"{found}"
        )
    # The file is written while the callback goes on.
    copied: dict[str, Any] = copy_containers(state)
    return copied


def copy_containers(value: Any) -> Any:
    """Returns copies of dictionaries and lists; arrays stay the same."""
    if isinstance(value, dict):
        return {key: copy_containers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [copy_containers(one) for one in value]
    return value


def check_participant(callback: keras.callbacks.Callback) -> None:
    """Raises `ValueError` unless a callback can have a state."""
    if isinstance(callback, STOCK_CALLBACKS):
        return
    for method in ("get_state", "set_state"):
        if not callable(getattr(callback, method, None)):
            raise ValueError(
                f"`stateful_callbacks` need the methods `get_state` and "
                f"`set_state`. Received: {type(callback).__name__}, which has "
                f"no `{method}`."
            )
