"""What the output of an operation can be while a graph is traced."""

from collections.abc import Callable
from collections.abc import MutableMapping
import dataclasses
from typing import TypeAlias

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class VariableRef:
    """A variable itself, not its value.

    Args:
        name: Name under which the variable's value is kept.
        is_reference: Whether it is a reference variable, which an operation
            reads at the moment when it takes it as an input.
    """

    name: str
    is_reference: bool


@dataclasses.dataclass(frozen=True)
class ArrayRef:
    """A TensorArray itself. Its elements are in the tensor called its flow.

    Args:
        dtype: Type of its elements.
        shape: Shape of its elements, as far as it is known.
        is_dynamic: Whether writing after its end makes it longer.
    """

    dtype: tf.DType
    shape: tf.TensorShape
    is_dynamic: bool


@dataclasses.dataclass(frozen=True)
class TableRef:
    """A table, filled.

    Args:
        keys: Its keys, of shape `(size,)`.
        values: Their values, of shape `(size,)`.
    """

    keys: tf.Tensor
    values: tf.Tensor


# The value of a key. That of "^name" is `None`.
Value: TypeAlias = tf.Tensor | VariableRef | ArrayRef | TableRef | None
Environment: TypeAlias = MutableMapping[str, Value]


class State:
    """The values of the variables between two operations.

    The values are tensors, not TensorFlow variables, and an assignment makes a
    new tensor. So gradients, `stateless_call` and strategies need no special
    case.

    Args:
        values: Value of every variable, by name.
        mutable: Names of the variables that an operation of the graph assigns.
        trainable: Names of the variables that have gradients.
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
        """Makes a tensor the variable's value from now on."""
        old = self.values[name]
        value = tf.ensure_shape(tf.cast(value, old.dtype), old.shape)
        if name in self.trainable:
            self.values[name] = replace_value(old, value)
        else:
            self.values[name] = tf.stop_gradient(value)

    def get_mutable(self) -> list[tf.Tensor]:
        """Returns the values of the variables that the graph assigns."""
        return [self.values[name] for name in self.mutable]

    def set_mutable(self, values: list[tf.Tensor]) -> None:
        """Sets the values that `get_mutable` has returned elsewhere."""
        self.values.update(zip(self.mutable, values, strict=True))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def replace_value(
    old: tf.Tensor, new: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, None]]]:
    """Returns `new`, with the gradient that TensorFlow 1 has for a variable.

    In TensorFlow 1 a variable is the same before and after an assignment, and
    no gradient flows back through the assignment.
    """
    del old
    return tf.identity(new), lambda upstream: (upstream, None)


def as_tensor(value: Value, state: State, key: str) -> tf.Tensor:
    """Returns a value as a tensor, that of a variable at this moment.

    Args:
        value: The value.
        state: The values of the variables.
        key: Key of the value, for the message.
    """
    if isinstance(value, VariableRef):
        return state.values[value.name]
    if isinstance(value, ArrayRef):
        raise ValueError(
            f"{key!r} is a TensorArray, which only the operations of "
            "TensorArrays can read, but the graph uses it as a tensor."
        )
    if isinstance(value, TableRef):
        raise ValueError(
            f"{key!r} is a table, which only lookups can read, but the graph "
            "uses it as a tensor."
        )
    return value
