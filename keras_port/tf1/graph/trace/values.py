"""What an operation's output may be while a graph is traced."""

from collections.abc import MutableMapping
import dataclasses
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class VariableRef:
    """A variable itself, not its value.

    Args:
        name: Name of the variable.
        is_reference: Whether it is of the early kind, whose value is taken
            wherever it goes into an operation.
    """

    name: str
    is_reference: bool


@dataclasses.dataclass(frozen=True)
class ArrayRef:
    """A TensorArray itself; what it holds is in the tensor called its flow.

    Args:
        dtype: Type of its elements.
        shape: Shape of its elements, as far as it is known.
        is_dynamic: Whether writing behind its end makes it longer.
    """

    dtype: Any
    shape: Any
    is_dynamic: bool


Value = Any  # A tensor, a VariableRef, an ArrayRef; None for "^name".
Environment = MutableMapping[str, Value]


class State:
    """The values of the variables between two operations.

    They are tensors, not TensorFlow's variables: what is assigned is a new
    tensor. So gradients, `stateless_call` and strategies need no special case.

    Args:
        values: Value of each variable, by name.
        mutable: Names of those that something in the graph assigns.
        trainable: Names of those that gradients are wanted of.
    """

    def __init__(
        self,
        values: dict[str, tf.Tensor],
        mutable: tuple[str, ...],
        trainable: frozenset[str],
    ) -> None:
        self.values = values
        self.mutable = mutable
        self.trainable = trainable

    def assign(self, name: str, value: tf.Tensor) -> None:
        """Makes a tensor the variable's value from here on."""
        old = self.values[name]
        value = tf.ensure_shape(tf.cast(value, old.dtype), old.shape)
        if name in self.trainable:
            self.values[name] = replaced(old, value)
        else:
            self.values[name] = tf.stop_gradient(value)

    def current(self) -> list[tf.Tensor]:
        """Returns the values of those that may have been assigned."""
        return [self.values[name] for name in self.mutable]

    def set_current(self, values: list[tf.Tensor]) -> None:
        """Takes what `current` has given elsewhere."""
        self.values.update(zip(self.mutable, values, strict=True))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def replaced(old: tf.Tensor, new: tf.Tensor) -> Any:
    """Returns `new`, with the gradient that TensorFlow 1 has for a variable.

    There a variable is the same before and after it was assigned, and nothing
    goes back through the assignment.
    """
    del old
    return tf.identity(new), lambda upstream: (upstream, None)


def as_tensor(value: Value, state: State) -> tf.Tensor:
    """Returns the value as a tensor, that of a variable now."""
    if isinstance(value, VariableRef):
        return state.values[value.name]
    if isinstance(value, ArrayRef):
        raise ValueError(
            "A TensorArray goes into an operation that is none of its own."
        )
    return value
