"""Evaluates tensors of a traced graph."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port._support import value_errors
from keras_port.inspection.clean_graph import captures
from keras_port.inspection.records import shape_text
from keras_port.inspection.tracing import TracedCall

Feeds = Mapping[str, Any]


class Evaluation:
    """Evaluates tensors by name, and keeps the pruned functions for next time.

    Only operations that the tensors depend on run. Random states and moving
    means are not updated unless the tensors depend on the update.

    Args:
        traced: The traced model or function.
    """

    def __init__(self, traced: TracedCall) -> None:
        self._function = traced.function
        self._variables = traced.clean.variables
        self._clean = dict(traced.clean.names)
        self._tensors = {
            f"{clean}:{index}": tensor
            for old, clean in traced.clean.names.items()
            for index, tensor in enumerate(self._outputs(old))
        }
        self._tensors |= {f"{k}:0": v for k, v in traced.outputs.items()}
        self._captured = {
            inner.op.name for _, inner in captures(self._function)
        }
        self._pruned: dict[Any, Callable[..., Any]] = {}

    def _outputs(self, operation: str) -> Sequence[tf.Tensor]:
        graph = self._function.graph
        return list(graph.get_operation_by_name(operation).outputs)

    def run(self, names: Iterable[str], feeds: Feeds) -> dict[str, Any]:
        """Returns the values of tensors, keyed by name.

        Args:
            names: Full names of the tensors to compute.
            feeds: Values of other tensors, keyed by full name.
        """
        values = {name: self._convert(name, feeds[name]) for name in feeds}
        known = dict(values)
        fetched: dict[str, tf.Tensor] = {}
        for name in names:
            variable = self._variable(name)
            if name in known:
                continue
            if variable is not None:
                known[name] = np.asarray(variable.numpy())
            else:
                fetched[name] = self._fetched_tensor(name)
        given: dict[str, tuple[tf.Tensor, Any]] = {}
        for name, value in values.items():
            for tensor in self._fed_tensors(name):
                given[tensor.name] = (tensor, value)
        if fetched:
            known |= self._compute(fetched, given, self._fed_variables(values))
        return {name: known[name] for name in names}

    def _compute(
        self,
        fetched: Mapping[str, tf.Tensor],
        given: Mapping[str, tuple[tf.Tensor, Any]],
        fed_variables: set[str],
    ) -> dict[str, Any]:
        used = self._used_feeds(fetched.values(), given, fed_variables)
        feeds = [given[name] for name in sorted(used)]
        key = (tuple(sorted(used)), tuple(fetched))
        if key not in self._pruned:
            self._pruned[key] = self._function.prune(
                [tensor for tensor, _ in feeds], list(fetched.values())
            )
        with value_errors():
            results = self._pruned[key](
                *(tf.constant(value, tensor.dtype) for tensor, value in feeds)
            )
        return {
            name: result.numpy()
            for name, result in zip(fetched, results, strict=True)
        }

    def _used_feeds(
        self,
        fetched: Iterable[tf.Tensor],
        given: Mapping[str, Any],
        fed_variables: set[str],
    ) -> set[str]:
        """Returns the fed tensors that are needed; raises if one is missing."""
        used, missing = set(), []
        seen: set[str] = set()
        queue = list(fetched)
        while queue:
            tensor = queue.pop()
            if tensor.name in given:
                used.add(tensor.name)
                continue
            queue += self._inputs(tensor.op, seen)
            if tensor.op.type != "Placeholder":
                continue
            name = f"{self._clean[tensor.op.name]}:0"
            if name in fed_variables:
                raise ValueError(
                    f"{name!r} cannot be fed here: the result depends on an "
                    "operation that uses the variable itself, not its value."
                )
            if tensor.op.name not in self._captured and name not in missing:
                missing.append(name)
        if missing:
            feeds = ", ".join(
                f"{name!r}: shape "
                f"{shape_text(tuple(self._tensors[name].shape))}"
                for name in sorted(missing)
            )
            raise ValueError(
                "The result depends on inputs that have no value. Feed them, "
                f"or tensors that depend on them: {{{feeds}}}."
            )
        return used

    def _inputs(self, operation: tf.Operation, seen: set[str]) -> list[Any]:
        """Returns the inputs of the operations that are not yet in `seen`."""
        found: list[Any] = []
        queue = [operation]
        while queue:
            operation = queue.pop()
            if operation.name not in seen:
                seen.add(operation.name)
                found += operation.inputs
                queue += operation.control_inputs
        return found

    def _variable(self, name: str) -> Any:
        return self._variables.get(name.removesuffix(":0"))

    def _fed_variables(self, names: Iterable[str]) -> set[str]:
        return {name for name in names if self._variable(name) is not None}

    def _fetched_tensor(self, name: str) -> tf.Tensor:
        tensor = self._tensors[name]
        if tensor.dtype in (tf.resource, tf.variant):
            raise ValueError(
                f"{name!r} has the type {tensor.dtype.name}, whose value "
                "cannot be shown as an array."
            )
        return tensor

    def _fed_tensors(self, name: str) -> list[tf.Tensor]:
        """Returns the tensors to feed: for a variable, all of its reads."""
        tensor = self._tensors.get(name)
        if self._variable(name) is None or tensor is None:
            return [] if tensor is None else [tensor]
        reads = [op for op in tensor.consumers() if op.type == "ReadVariableOp"]
        return [op.outputs[0] for op in reads]

    def _convert(self, name: str, value: Any) -> Any:
        """Returns a fed value as an array of the right shape and type."""
        variable = self._variable(name)
        expected = self._tensors[name] if variable is None else variable
        return convert_feed(name, value, expected)


def convert_feed(name: str, value: Any, expected: Any) -> np.ndarray:
    """Returns a fed value as an array that fits a tensor, or raises."""
    dtype = tf.as_dtype(expected.dtype)
    try:
        array = np.asarray(value.numpy() if tf.is_tensor(value) else value)
        kind = tf.as_dtype(array.dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The value fed to {name!r} is not an array: {error}"
        ) from error
    fits = kind == dtype or (
        (dtype.is_floating and (kind.is_floating or kind.is_integer))
        or (dtype.is_complex and kind != tf.string)
        or (dtype.is_integer and kind.is_integer)
    )
    if not fits:
        raise ValueError(
            f"{name!r} takes values of type {dtype.name}. Convert the value "
            f"with `np.asarray(value, {dtype.name!r})`. "
            f"Received: {kind.name}."
        )
    shape = tf.TensorShape(expected.shape)
    if not shape.is_compatible_with(array.shape):
        raise ValueError(
            f"{name!r} takes values of shape {shape_text(tuple(shape))}, where "
            f"`None` stands for any size. Received: shape {array.shape}."
        )
    return array if dtype == tf.string else array.astype(dtype.as_numpy_dtype)
