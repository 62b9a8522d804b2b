"""What `fit` was called with, which Keras does not tell its callbacks."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import keras
import tensorflow as tf

from keras_port.callbacks._position import get_static_batch_size
from keras_port.callbacks._stock_state import STOCK_CALLBACKS


@dataclasses.dataclass(frozen=True)
class FitArguments:
    """What a `TrainingState` must know of the arguments of `fit`.

    The defaults are those of a `fit` that does not tell them, such as that of a
    stock model.

    Args:
        are_known: Whether `fit` has told them.
        batch_size: Examples in a batch.
        batches_in_data: Batches after which the data starts again.
        class_weight: Weights of the classes.
        goes_on_over_epochs: Whether an epoch begins where the data was at the
            end of the one before.
        asks_for_nothing: Whether no step is to be made.
        stock_callbacks: Keras' callbacks that have a state.
    """

    are_known: bool = False
    batch_size: int | None = None
    batches_in_data: int | None = None
    class_weight: Mapping[int, float] | None = None
    goes_on_over_epochs: bool = False
    asks_for_nothing: bool = False
    stock_callbacks: Sequence[keras.callbacks.Callback] = ()

    @classmethod
    def read(
        cls,
        arguments: Mapping[str, Any],
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> "FitArguments":
        """Returns the arguments of a `fit`.

        Args:
            arguments: The arguments by name.
            callbacks: The callbacks among them.
        """
        steps = arguments.get("steps_per_epoch")
        return cls(
            are_known=True,
            batch_size=find_batch_size(arguments),
            batches_in_data=count_batches(arguments),
            class_weight=arguments.get("class_weight"),
            goes_on_over_epochs=steps is not None,
            asks_for_nothing=steps is not None and steps <= 0,
            stock_callbacks=tuple(
                c for c in callbacks if isinstance(c, STOCK_CALLBACKS)
            ),
        )


def find_batch_size(arguments: Mapping[str, Any]) -> int | None:
    """Returns the examples in a batch, as far as `fit` is told."""
    x = arguments.get("x")
    if isinstance(x, tf.data.Dataset):
        return get_static_batch_size(x.element_spec)
    if isinstance(x, keras.utils.PyDataset) or not hasattr(x, "shape"):
        return None
    return arguments.get("batch_size") or 32


def count_batches(arguments: Mapping[str, Any]) -> int | None:
    """Returns the batches after which the data of `fit` starts again."""
    x = arguments.get("x")
    if isinstance(x, tf.data.Dataset):
        count = int(x.cardinality())
        return count if count > 0 else None
    batch_size = find_batch_size(arguments)
    if x is None or batch_size is None:
        return None
    # Keras validates on the last part.
    examples = int(len(x) * (1 - (arguments.get("validation_split") or 0)))
    return -(-examples // batch_size)
