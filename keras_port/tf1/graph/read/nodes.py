"""A graph or a function of its library, as nodes with plain keys.

A key is `"name:0"`, a tensor, or `"^name"`, that an operation has run.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
from typing import Any

from keras_port.tf1.graph.read import operation_registry

# The operations that change a variable, those of early reference variables and
# those of resource variables; trace/variables.py has a handler for every one.
WRITER_OPS = (
    *("Assign", "AssignAdd", "AssignSub"),
    *("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"),
    *(
        f"{kind}Scatter{name}"
        for kind in ("", "Resource")
        for name in ("Update", "Add", "Sub", "Min", "Max", "Mul", "Div")
    ),
    *(
        f"{kind}ScatterNd{name}"
        for kind in ("", "Resource")
        for name in ("Update", "Add", "Sub", "Min", "Max")
    ),
    *("StridedSliceAssign", "ResourceStridedSliceAssign"),
)
SWITCHES = ("Switch", "RefSwitch")
ENTERS = ("Enter", "RefEnter")
# Operations that only say which branch or loop another one is in.
STRUCTURE = (*SWITCHES, *ENTERS, "Merge", "NextIteration", "LoopCond")

NodeDef = Any
GraphDef = Any
FunctionDef = Any


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """An operation, with its inputs as keys.

    Args:
        name: Its name.
        op: Its type, such as `"MatMul"`.
        inputs: Keys of the tensors it takes.
        controls: Names of the operations that it waits for.
        proto: TensorFlow's own record, for the attributes.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    controls: tuple[str, ...]
    proto: NodeDef = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Scope:
    """The operations of the graph or of one function, by name.

    Args:
        name: Name of the function, `""` for the graph.
        nodes: The operations.
        arguments: Keys of a function's arguments.
        results: Keys of a function's results.
        controls: Operations that a function runs beside its results.
    """

    name: str
    nodes: dict[str, Node]
    arguments: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()

    def node(self, key: str) -> Node:
        """Returns the operation that a key is of."""
        name = operation(key)
        found = self.nodes.get(name)
        if found is None:
            raise ValueError(
                f"The graph is broken: its operation {name!r} is missing"
                f"{self.where()}."
            )
        return found

    def where(self) -> str:
        """Returns the end of a message."""
        return f" in the function {self.name!r}" if self.name else ""


def operation(key: str) -> str:
    """Returns the name of the operation in a key."""
    return key[1:] if key.startswith("^") else key.rpartition(":")[0]


def graph_scope(graph: GraphDef) -> Scope:
    """Returns the nodes of a graph."""
    nodes: dict[str, Node] = {}
    for proto in graph.node:
        if not proto.name or proto.name in nodes:
            raise ValueError(
                "The graph is broken: it has two operations, or one without "
                f"a name, at {proto.name!r}."
            )
        nodes[proto.name] = Node(
            proto.name, proto.op, *split_inputs(proto.input), proto
        )
    return Scope("", nodes)


def split_inputs(
    names: Iterable[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the keys of the tensors, and the names that are waited for."""
    tensors, controls = [], []
    for name in names:
        if name.startswith("^"):
            controls.append(name[1:])
        else:
            tensors.append(tensor_key(name))
    return tuple(tensors), tuple(controls)


def tensor_key(name: str) -> str:
    """Returns `"x:0"` for `"x"`, `"x:0"` or `"x:00"`."""
    before, colon, number = name.rpartition(":")
    if not colon:
        return f"{name}:0"
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ValueError(
            f"The graph is broken: {name!r} is no name of a tensor."
        )
    return f"{before}:{int(number)}"


def function_scopes(graph: GraphDef) -> dict[str, Scope]:
    """Returns the functions of a graph's library, by name."""
    functions = {one.signature.name: one for one in graph.library.function}
    types = {
        node.op
        for function in functions.values()
        for node in function.node_def
        if node.op not in functions
    }
    described = operation_registry.describe(types) if types else {}
    described |= {name: one.signature for name, one in functions.items()}
    return {
        name: function_scope(one, described) for name, one in functions.items()
    }


def function_scope(
    function: FunctionDef, described: Mapping[str, Any]
) -> Scope:
    """Returns the nodes of a function, whose inputs are named otherwise."""
    name = function.signature.name
    protos = {proto.name: proto for proto in function.node_def}

    def key(text: str) -> str:
        source, *rest = text.split(":")
        if not rest:
            return f"{source}:0"
        proto = protos.get(source)
        if proto is None or proto.op not in described or len(rest) != 2:
            raise ValueError(
                f"The graph is broken: the function {name!r} has no {text!r}."
            )
        offsets = operation_registry.output_offsets(proto, described[proto.op])
        if rest[0] not in offsets or not rest[1].isdigit():
            raise ValueError(
                f"The graph is broken: the function {name!r} has no {text!r}."
            )
        return f"{source}:{offsets[rest[0]] + int(rest[1])}"

    nodes = {
        proto.name: Node(
            proto.name,
            proto.op,
            tuple(key(one) for one in proto.input if one[:1] != "^"),
            tuple(one[1:] for one in proto.input if one[:1] == "^"),
            proto,
        )
        for proto in function.node_def
    }
    return Scope(
        name,
        nodes,
        tuple(f"{one.name}:0" for one in function.signature.input_arg),
        tuple(key(function.ret[o.name]) for o in function.signature.output_arg),
        tuple(function.control_ret.values()),
    )


def list_called_functions(node: Node) -> list[str]:
    """Returns the names of the functions that an operation calls."""
    names = [node.op]
    for attribute in node.proto.attr.values():
        if attribute.HasField("func"):
            names.append(attribute.func.name)
        names += [one.name for one in attribute.list.func]
    return names


def variable_name(node: Node) -> str:
    """Returns by which name a variable's value is kept.

    Two operations with one shared name are one variable.
    """
    shared: str = node.proto.attr["shared_name"].s.decode("utf-8", "replace")
    return shared or node.name
