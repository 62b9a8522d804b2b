"""Traces operations of a TensorFlow 1 graph into the graph that is open."""

from collections import ChainMap
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.control_flow import ControlFlow
from keras_port.tf1.graph.control_flow import Unit
from keras_port.tf1.graph.control_flow import flow_copies
from keras_port.tf1.graph.control_flow import in_order
from keras_port.tf1.graph.control_flow import needed
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import list_called_functions
from keras_port.tf1.graph.trace.plain_nodes import import_nodes
from keras_port.tf1.graph.trace.values import Environment
from keras_port.tf1.graph.trace.values import State
from keras_port.tf1.graph.trace.values import Value
from keras_port.tf1.graph.trace.values import as_tensor

# A function that calls two functions that call two more is soon too much.
MAX_OPERATIONS = 2_000_000
RESOURCE = tf.resource.as_datatype_enum


@dataclasses.dataclass(frozen=True)
class Job:
    """One unit to be traced, and where.

    Args:
        emitter: Who traces.
        scope: The graph or function that the unit is of.
        unit: The operation, condition or loop.
        env: The values there are, by key; those of the unit are added.
    """

    emitter: "Emitter"
    scope: Scope
    unit: Unit
    env: Environment

    @property
    def node(self) -> Node:
        """Returns the operation."""
        return self.scope.nodes[self.unit.name]

    @property
    def writes(self) -> bool:
        """Tells whether anything in the unit assigns to a variable."""
        return self.emitter.writes(self.scope, self.unit)

    def tensor(self, key: str) -> tf.Tensor:
        """Returns a value as a tensor, that of a variable now."""
        return self.emitter.tensor(key, self.env)

    def tensors(self) -> list[tf.Tensor]:
        """Returns the inputs of the operation as tensors."""
        return [self.tensor(key) for key in self.node.inputs]

    def values(self) -> list[Value]:
        """Returns the inputs of the operation as they are."""
        return [self.env[key] for key in self.node.inputs]

    def wanted(self) -> list[int]:
        """Returns the numbers of the outputs that are wanted."""
        return sorted(
            int(key.rpartition(":")[2])
            for key in self.unit.outputs
            if not key.startswith("^")
        )

    def give(self, value: Value, number: int = 0) -> None:
        """Gives an output of the operation."""
        self.env[f"{self.node.name}:{number}"] = value


Handler = Callable[[Job], None]


class Emitter:
    """Traces what is wanted of a graph, in an order that is always the same.

    Operations without state go to TensorFlow's own import, many at a time.
    What is assigned to a variable comes as late as its dependencies allow, so
    that whoever does not wait for it reads the value before.

    Args:
        functions: The library of the graph, by name.
        versions: TensorFlow's record of the graph's age.
        state: The values of the variables.
        handlers: What traces an operation that is not imported, by its type,
            and whole conditions and loops, by `"condition"` and `"loop"`.
        writers: Types that assign, and functions that hold one of these.
    """

    def __init__(
        self,
        functions: Mapping[str, Scope],
        versions: Any,
        state: State,
        handlers: Mapping[str, Handler],
        writers: frozenset[str],
    ) -> None:
        self.functions = functions
        self.versions = versions
        self.state = state
        self.handlers = handlers
        self.writers = writers
        self._flows: dict[str, ControlFlow] = {}
        self._flow_copies: dict[str, frozenset[str]] = {}
        self._emitted = 0

    def flow(self, scope: Scope) -> ControlFlow:
        """Returns the conditions and loops of a scope."""
        if scope.name not in self._flows:
            self._flows[scope.name] = ControlFlow(scope)
        return self._flows[scope.name]

    def emit(
        self, scope: Scope, wanted: Sequence[str], env: Environment
    ) -> list[Value]:
        """Traces what some keys need; returns their values.

        Args:
            scope: The graph or function that the keys are of.
            wanted: The keys.
            env: What there is already, by key. What is traced is added.
        """
        flow = self.flow(scope)
        units = needed(wanted, flow, env)
        self._emitted += len(units)
        if self._emitted > MAX_OPERATIONS:
            raise ValueError(
                f"The graph unfolds to more than {MAX_OPERATIONS:,} operations."
            )
        for batch in in_order(units, flow, self):
            if batch[0].kind == "node" and not self.is_special(scope, batch[0]):
                nodes = [scope.nodes[unit.name] for unit in batch]
                self.import_batch(nodes, env)
            else:
                self.run(Job(self, scope, batch[0], env))
        return [env.get(key) for key in wanted]

    def run(self, job: Job) -> None:
        """Traces one unit that is not imported."""
        if job.unit.kind != "node":
            self.handlers[job.unit.kind](job)
            return
        handler = self.handler(job.scope, job.node)
        assert handler is not None  # Or it would have been imported.
        handler(job)
        job.env[f"^{job.node.name}"] = None

    def handler(self, scope: Scope, node: Node) -> Handler | None:
        """Returns what traces an operation that is not imported."""
        if node.op in self.functions:
            return self.handlers["PartitionedCall"]
        if node.op == "Identity" and node.proto.attr["T"].type != RESOURCE:
            if scope.name not in self._flow_copies:
                self._flow_copies[scope.name] = flow_copies(scope)
            if node.name not in self._flow_copies[scope.name]:
                return None
        return self.handlers.get(node.op)

    def is_special(self, scope: Scope, unit: Unit) -> bool:
        """Tells whether a unit is not imported."""
        return (
            unit.kind != "node"
            or self.handler(scope, scope.nodes[unit.name]) is not None
        )

    def writes(self, scope: Scope, unit: Unit) -> bool:
        """Tells whether something in a unit assigns to a variable."""
        flow = self.flow(scope)
        if unit.kind == "node":
            inside = frozenset({unit.name})
        elif unit.kind == "loop":
            inside = flow.loop(unit.name).nodes
        else:
            inside = frozenset[str]().union(
                *(flow.condition(scope.node(key)).nodes for key in unit.outputs)
            )
        return any(self.is_writer(scope.nodes[name]) for name in inside)

    def is_writer(self, node: Node) -> bool:
        """Tells whether an operation, or what it calls, assigns."""
        if node.op in self.writers or not self.functions:
            return node.op in self.writers
        return any(name in self.writers for name in list_called_functions(node))

    def import_batch(self, batch: Sequence[Node], env: Environment) -> None:
        """Traces operations by TensorFlow's own import."""
        names = {node.name for node in batch}
        outside = {
            key: here(self.tensor(key, env))
            for key in {key: None for node in batch for key in node.inputs}
            if key in env or key.rpartition(":")[0] not in names
        }
        made = import_nodes(batch, outside, self.versions)
        for name, tensors in made.items():
            env[f"^{name}"] = None
            for number, tensor in enumerate(tensors):
                # What a user feeds stays what it is.
                env.setdefault(f"{name}:{number}", tensor)

    def tensor(self, key: str, env: Environment) -> tf.Tensor:
        """Returns a value as a tensor, that of a variable now."""
        if key not in env:
            raise ValueError(f"The graph is broken: {key!r} does not exist.")
        return as_tensor(env[key], self.state)


def here(tensor: tf.Tensor) -> tf.Tensor:
    """Returns a tensor of the graph that is open, as the import wants it."""
    if tensor.graph is tf.compat.v1.get_default_graph():
        return tensor
    return tf.identity(tensor)


def inner(env: Environment, own: Environment) -> Environment:
    """Returns an environment whose new entries stay in it."""
    return ChainMap(dict(own), env)
