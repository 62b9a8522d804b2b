"""Computes tensors of a traced graph from values of others."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port._support import value_errors
from keras_port.inspection.clean_graph import captures
from keras_port.inspection.feeds import fed_value
from keras_port.inspection.records import shape_text
from keras_port.inspection.traced import Traced

Feeds = Mapping[str, Any]


class Evaluation:
    """Evaluates tensors by name, and keeps the pruned functions for next time.

    Only what the tensors need is computed, and nothing is updated that they do
    not wait for: neither a random state nor a moving mean.

    Args:
        traced: The traced model or function.
    """

    def __init__(self, traced: Traced) -> None:
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
        """Returns the value of each tensor by its name.

        Args:
            names: Full names of the tensors to compute.
            feeds: Values of others, by full name.
        """
        values = {name: self._value(name, feeds[name]) for name in feeds}
        known = dict(values)
        wanted: dict[str, tf.Tensor] = {}
        for name in names:
            variable = self._variable(name)
            if name in known:
                continue
            if variable is not None:
                known[name] = np.asarray(variable.numpy())
            else:
                wanted[name] = self._fetched(name)
        given: dict[str, tuple[tf.Tensor, Any]] = {}
        for name, value in values.items():
            for tensor in self._fed(name):
                given[tensor.name] = (tensor, value)
        if wanted:
            known |= self._compute(wanted, given, self._fed_variables(values))
        return {name: known[name] for name in names}

    def _compute(
        self,
        wanted: Mapping[str, tf.Tensor],
        given: Mapping[str, tuple[tf.Tensor, Any]],
        fed_variables: set[str],
    ) -> dict[str, Any]:
        used = self._check(wanted.values(), given, fed_variables)
        feeds = [given[name] for name in sorted(used)]
        key = (tuple(sorted(used)), tuple(wanted))
        if key not in self._pruned:
            self._pruned[key] = self._function.prune(
                [tensor for tensor, _ in feeds], list(wanted.values())
            )
        with value_errors():
            results = self._pruned[key](
                *(tf.constant(value, tensor.dtype) for tensor, value in feeds)
            )
        return {
            name: result.numpy()
            for name, result in zip(wanted, results, strict=True)
        }

    def _check(
        self,
        wanted: Iterable[tf.Tensor],
        given: Mapping[str, Any],
        fed_variables: set[str],
    ) -> set[str]:
        """Returns the fed tensors that are needed; raises if others are."""
        used, missing = set(), []
        seen: set[str] = set()
        queue = list(wanted)
        while queue:
            tensor = queue.pop()
            if tensor.name in given:
                used.add(tensor.name)
                continue
            queue += self._needed(tensor.op, seen)
            if tensor.op.type != "Placeholder":
                continue
            name = f"{self._clean[tensor.op.name]}:0"
            if name in fed_variables:
                raise ValueError(
                    f"{name!r} cannot be fed here: an operation on the way "
                    "uses the variable itself, not its value."
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
                f"or tensors behind them: {{{feeds}}}"
            )
        return used

    def _needed(self, operation: tf.Operation, seen: set[str]) -> list[Any]:
        """Returns what an operation computes from, once."""
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

    def _fetched(self, name: str) -> tf.Tensor:
        tensor = self._tensors[name]
        if tensor.dtype in (tf.resource, tf.variant):
            raise ValueError(
                f"{name!r} is of type {tensor.dtype.name}, which has no value "
                "that could be shown."
            )
        return tensor

    def _fed(self, name: str) -> list[tf.Tensor]:
        """Returns the tensors that a value is fed to: a variable's reads."""
        tensor = self._tensors.get(name)
        if self._variable(name) is None or tensor is None:
            return [] if tensor is None else [tensor]
        reads = [op for op in tensor.consumers() if op.type == "ReadVariableOp"]
        return [op.outputs[0] for op in reads]

    def _value(self, name: str, value: Any) -> Any:
        """Returns a fed value as an array of the right shape and type."""
        variable = self._variable(name)
        expected = self._tensors[name] if variable is None else variable
        return fed_value(name, value, expected)
