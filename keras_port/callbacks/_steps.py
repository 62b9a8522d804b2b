"""The step of a training, and what is due at it."""

from collections.abc import Iterator
from typing import Any
import weakref

import keras


def get_step(model: keras.Model) -> int:
    """Returns the number of updates that the optimizer has made.

    A model with several optimizers that update weights, as a GAN has, is at the
    step of the one that has made the most updates.
    """
    # Not the batch index that Keras passes to callbacks. That index is wrong
    # with `steps_per_execution` (50 steps at 20 per call report 59), counts
    # batches whose gradients are only accumulated, and starts again at 0 in
    # every epoch and every `fit`.
    own = getattr(model, "optimizer", None)
    step = 0 if own is None else count_updates(own)
    if step and _only.get(own) == len(vars(model)):
        return step
    others = [one for one in list_optimizers(model) if one is not own]
    if not others:
        if own is not None:
            _only[own] = len(vars(model))
        return step
    for optimizer in others:
        # One that has stopped, of an earlier `compile`, does not count.
        updates = count_updates(optimizer)
        if updates != _first_seen.setdefault(optimizer, updates):
            _moving.add(optimizer)
    updating = [count_updates(one) for one in others if one in _moving]
    return max(step, *updating, 0) or max(map(count_updates, others))


# Optimizers that are the only one of a model, and the number of its attributes
# when that was found: to search them takes as long as a step of a small model.
# Not by model, which may be a proxy.
_only: "weakref.WeakKeyDictionary[Any, int]" = weakref.WeakKeyDictionary()
# Optimizers in attributes of models: their updates when they were first seen,
# and those that have made more.
_first_seen: "weakref.WeakKeyDictionary[Any, int]" = weakref.WeakKeyDictionary()
_moving: "weakref.WeakSet[Any]" = weakref.WeakSet()


def count_updates(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns how many updates an optimizer has made."""
    # `numpy`, because a variable with a copy per device is no number.
    return int(optimizer.iterations.numpy())


def list_optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Returns the optimizer of `compile`, and those that the model keeps.

    A model that trains with several optimizers keeps them in attributes, alone
    or in a list or a dictionary.
    """
    found: dict[int, Any] = {}
    for value in (getattr(model, "optimizer", None), *find_optimizers(model)):
        if value is not None:
            found.setdefault(id(value), value)
    wrapped = {
        id(getattr(one, "inner_optimizer", None)) for one in found.values()
    }
    return [one for key, one in found.items() if key not in wrapped]


def find_optimizers(model: keras.Model) -> Iterator[Any]:
    """Yields the optimizers among the attributes of a model."""
    for value in list(vars(model).values()):
        candidates = [value]
        if isinstance(value, list | tuple):
            candidates = list(value)
        elif isinstance(value, dict):
            candidates = list(value.values())
        for one in candidates:
            if isinstance(one, keras.optimizers.Optimizer):
                yield one


def check_optimizer(model: keras.Model, name: str) -> None:
    """Raises `ValueError` for a model whose steps cannot be counted.

    Args:
        model: A compiled model.
        name: Name of the callback that counts them.
    """
    own = getattr(model, "optimizer", None)
    if own is not None:
        _only.pop(own, None)  # An attribute may have been replaced.
    if not list_optimizers(model):
        raise ValueError(
            f"`{name}` counts the updates of the model's optimizer, and the "
            "model has none. Compile it with an optimizer, or keep those of "
            "your own `train_step` in attributes of the model."
        )


class Every:
    """Is due at the first chance at or after every multiple of `freq` steps.

    With `steps_per_execution` callbacks do not see every step, so a multiple
    may be passed between two calls.

    Args:
        freq: Steps between two multiples, at least 1.
    """

    def __init__(self, freq: int) -> None:
        self.freq = freq
        self._last = 0

    def restart(self, step: int) -> None:
        """Counts from `step`, where a training starts or is resumed."""
        self._last = step

    def is_due(self, step: int) -> bool:
        """Returns whether a multiple lies between the last step and `step`."""
        is_due = step // self.freq > self._last // self.freq
        self._last = step
        return is_due
