"""The state of Keras' own callbacks, which a resumed training needs."""

from typing import Any

import keras
import numpy as np

# What they count and compare, by the names of their attributes.
ATTRIBUTES = {
    keras.callbacks.EarlyStopping: (
        "best",
        "best_epoch",
        "best_weights",
        "stopped_epoch",
        "wait",
    ),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}
STOCK_CALLBACKS = tuple(ATTRIBUTES)
# Where `ModelCheckpoint` counts the batches up to `save_freq`.
SINCE_SAVING = "_batches_seen_since_last_saving"
# What a snapshot holds as it is, in lists and in dictionaries by name.
PLAIN = (bool, int, float, str, np.ndarray, np.generic, type(None))


class StockState:
    """Gives a callback of Keras' the two methods that `TrainingState` calls.

    Args:
        callback: One of `STOCK_CALLBACKS`.
    """

    def __init__(self, callback: keras.callbacks.Callback) -> None:
        self.callback = callback
        self.state_name = type(callback).__name__
        monitor = getattr(callback, "monitor", None)
        if monitor is not None:
            self.state_name += f"({monitor})"

    @property
    def stopped_step(self) -> int | None:
        """Not `None` if the callback has stopped the training."""
        return getattr(self.callback, "stopped_epoch", 0) or None

    def get_state(self) -> dict[str, Any]:
        """Returns what the callback has counted and compared so far."""
        names = next(
            names
            for cls, names in ATTRIBUTES.items()
            if isinstance(self.callback, cls)
        )
        state = {name: getattr(self.callback, name) for name in names}
        if isinstance(self.callback, keras.callbacks.ModelCheckpoint):
            state[SINCE_SAVING] = getattr(self.callback, SINCE_SAVING, 0)
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned."""
        for name, value in state.items():
            setattr(self.callback, name, value)
        if SINCE_SAVING in state:
            # Before the first batch of an epoch.
            self.callback._last_batch_seen = -1

    def expect_skipped(self, batches: int) -> None:
        """Prevents that the batches that `fit` skips are counted twice.

        Keras calls the callback for them once more. `ModelCheckpoint` would
        write the weights of a later batch to the file of an earlier one.
        """
        # Otherwise it counts no batches, but epochs.
        if isinstance(getattr(self.callback, "save_freq", None), int):
            count = getattr(self.callback, SINCE_SAVING) - batches
            setattr(self.callback, SINCE_SAVING, count)


def find_foreign_value(value: Any, place: str = "") -> str | None:
    """Returns where a state holds what a snapshot cannot, as text.

    Args:
        value: The state of a callback.
        place: Where `value` is in it. Defaults to `""`.
    """
    if isinstance(value, dict):
        for key, one in value.items():
            if not isinstance(key, str):
                return f"the key {key!r} of {place or 'the state'}"
            found = find_foreign_value(one, f"{place}[{key!r}]")
            if found:
                return found
        return None
    if isinstance(value, list):
        for index, one in enumerate(value):
            found = find_foreign_value(one, f"{place}[{index}]")
            if found:
                return found
        return None
    if isinstance(value, PLAIN):
        return None
    return f"{place or 'the state'}, a {type(value).__name__}"
