"""Traces operations of a TensorFlow 1 graph into the graph that is open."""

from collections import ChainMap
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from keras_port.tf1.graph.control_flow import ControlFlow
from keras_port.tf1.graph.control_flow import Unit
from keras_port.tf1.graph.control_flow import find_flow_copies
from keras_port.tf1.graph.control_flow import find_units
from keras_port.tf1.graph.control_flow import order_units
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import called_functions
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.select import import_operations
from keras_port.tf1.graph.trace.values import Environment
from keras_port.tf1.graph.trace.values import State
from keras_port.tf1.graph.trace.values import Value
from keras_port.tf1.graph.trace.values import as_tensor

# Functions that call functions soon unfold to more than memory can hold.
MAX_OPERATIONS = 2_000_000
RESOURCE = tf.resource.as_datatype_enum
# Scope of the imported operations.
IMPORT_SCOPE = "tf1"


@dataclasses.dataclass(frozen=True)
class Job:
    """A unit to trace, and what is needed for it.

    Args:
        tracer: The tracer.
        scope: The graph or function that the unit belongs to.
        unit: The operation, condition or loop.
        env: The values so far, by key. Those of the unit are added.
    """

    tracer: "Tracer"
    scope: Scope
    unit: Unit
    env: Environment

    @property
    def node(self) -> Node:
        """The operation."""
        return self.scope.nodes[self.unit.name]

    @property
    def writes(self) -> bool:
        """Whether the unit assigns to a variable."""
        return self.tracer.writes(self.scope, self.unit)

    def get_tensor(self, key: str) -> tf.Tensor:
        """Returns a value as a tensor, that of a variable at this moment."""
        return self.tracer.get_tensor(key, self.env)

    def get_tensors(self) -> list[tf.Tensor]:
        """Returns the inputs of the operation as tensors."""
        return [self.get_tensor(key) for key in self.node.inputs]

    def get_values(self) -> list[Value]:
        """Returns the inputs of the operation as they are."""
        return [self.env[key] for key in self.node.inputs]

    def get_wanted(self) -> list[int]:
        """Returns the numbers of the outputs that are wanted."""
        return sorted(
            int(key.rpartition(":")[2])
            for key in self.unit.outputs
            if not key.startswith("^")
        )

    def set_output(self, value: Value, number: int = 0) -> None:
        """Sets an output of the operation."""
        self.env[f"{self.node.name}:{number}"] = value


Handler = Callable[[Job], None]


class Tracer:
    """Traces a graph, always in the same order.

    TensorFlow imports the operations without state, many at a time. An
    assignment to a variable comes as late as its dependencies allow, so that
    an operation that does not wait for it reads the value before.

    Args:
        functions: The functions of the graph, by name.
        versions: TensorFlow's record of the graph's version.
        state: The values of the variables.
        handlers: What traces an operation that is not imported, by its type,
            and whole conditions and loops, by `"condition"` and `"loop"`.
        writers: Types that assign, and functions that do.
    """

    def __init__(
        self,
        functions: Mapping[str, Scope],
        versions: protos.VersionDef,
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
        self._count = 0

    def get_control_flow(self, scope: Scope) -> ControlFlow:
        """Returns the conditions and loops of a scope."""
        if scope.name not in self._flows:
            self._flows[scope.name] = ControlFlow(scope)
        return self._flows[scope.name]

    def trace(
        self, scope: Scope, wanted: Sequence[str], env: Environment
    ) -> list[Value]:
        """Traces what some keys need, and returns their values.

        Args:
            scope: The graph or function that the keys belong to.
            wanted: The keys.
            env: The values so far, by key. Those of the operations that are
                traced are added.
        """
        flow = self.get_control_flow(scope)
        units = find_units(wanted, flow, env)
        self._count += len(units)
        if self._count > MAX_OPERATIONS:
            raise ValueError(
                "The calls and loops of the graph unfold to more than "
                f"{MAX_OPERATIONS:,} operations."
            )
        for batch in order_units(units, flow, self):
            if batch[0].kind == "node" and not self.is_special(scope, batch[0]):
                nodes = [scope.nodes[unit.name] for unit in batch]
                self._import(nodes, env)
            else:
                self._run(Job(self, scope, batch[0], env))
        return [env.get(key) for key in wanted]

    def get_tensor(self, key: str, env: Environment) -> tf.Tensor:
        """Returns a value as a tensor, that of a variable at this moment."""
        if key not in env:
            raise ValueError(
                f"The graph is broken: no operation gives {key!r} a value."
            )
        return as_tensor(env[key], self.state, key)

    def is_special(self, scope: Scope, unit: Unit) -> bool:
        """Returns whether a unit is not imported."""
        return (
            unit.kind != "node"
            or self._find_handler(scope, scope.nodes[unit.name]) is not None
        )

    def writes(self, scope: Scope, unit: Unit) -> bool:
        """Returns whether a unit assigns to a variable."""
        flow = self.get_control_flow(scope)
        if unit.kind == "node":
            inside = frozenset({unit.name})
        elif unit.kind == "loop":
            inside = flow.loops.get(unit.name).nodes
        else:
            conditions = (
                flow.get_condition(scope.node(key)) for key in unit.outputs
            )
            inside = frozenset[str]().union(*(one.nodes for one in conditions))
        return any(self._is_writer(scope.nodes[name]) for name in inside)

    def _is_writer(self, node: Node) -> bool:
        """Returns whether an operation, or a function it calls, assigns."""
        if node.op in self.writers or not self.functions:
            return node.op in self.writers
        return any(name in self.writers for name in called_functions(node))

    def _find_handler(self, scope: Scope, node: Node) -> Handler | None:
        """Returns what traces an operation; `None` if it is imported."""
        if node.op in self.functions:
            return self.handlers["PartitionedCall"]
        if node.op == "Identity" and node.proto.attr["T"].type != RESOURCE:
            if scope.name not in self._flow_copies:
                self._flow_copies[scope.name] = find_flow_copies(scope)
            if node.name not in self._flow_copies[scope.name]:
                return None
        return self.handlers.get(node.op)

    def _run(self, job: Job) -> None:
        """Traces a unit that is not imported."""
        if job.unit.kind != "node":
            self.handlers[job.unit.kind](job)
            return
        handler = self._find_handler(job.scope, job.node)
        assert handler is not None  # Otherwise it would have been imported.
        handler(job)
        job.env[f"^{job.node.name}"] = None

    def _import(self, nodes: Sequence[Node], env: Environment) -> None:
        """Traces operations with TensorFlow's own import."""
        names = {node.name for node in nodes}
        outside = {
            key: use_in_open_graph(self.get_tensor(key, env))
            for key in {key: None for node in nodes for key in node.inputs}
            if key in env or operation_name(key) not in names
        }
        made = import_nodes(nodes, outside, self.versions)
        for name, tensors in made.items():
            env[f"^{name}"] = None
            for number, tensor in enumerate(tensors):
                # A tensor that has a value already keeps it.
                env.setdefault(f"{name}:{number}", tensor)


def import_nodes(
    nodes: Sequence[Node],
    outside: Mapping[str, tf.Tensor],
    versions: protos.VersionDef,
) -> dict[str, list[tf.Tensor]]:
    """Adds operations to the graph that is open.

    Args:
        nodes: The operations, in any order.
        outside: The tensors that replace inputs, by key.
        versions: TensorFlow's record of the graph's version.

    Returns:
        The outputs of every operation, by its name.
    """
    graph = tf.compat.v1.GraphDef()
    graph.versions.CopyFrom(versions)
    names = {node.name for node in nodes}
    for node in nodes:
        proto = graph.node.add()
        proto.CopyFrom(node.proto)
        del proto.input[:]
        proto.input.extend(node.inputs)
        # Those of other imports have been traced already.
        proto.input.extend(
            f"^{name}" for name in node.controls if name in names
        )
    # TensorFlow rejects entries of the map that no operation uses.
    operations = import_operations(
        graph,
        input_map=outside,
        return_elements=[node.name for node in nodes],
        name=IMPORT_SCOPE,
    )
    return {
        node.name: list(made.outputs)
        for node, made in zip(nodes, operations, strict=True)
    }


def use_in_open_graph(tensor: tf.Tensor) -> tf.Tensor:
    """Returns a tensor of the open graph, which the import requires."""
    if tensor.graph is tf.compat.v1.get_default_graph():
        return tensor
    return tf.identity(tensor)


def extend_environment(
    env: Environment, own: Mapping[str, Value]
) -> Environment:
    """Returns an environment whose new entries stay in it."""
    return ChainMap(dict(own), env)
