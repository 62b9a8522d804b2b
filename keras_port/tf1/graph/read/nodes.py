"""The operations of a graph or of one of its functions, with plain keys.

A key is `"name:0"` for a tensor, or `"^name"` for "this operation has run".
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import difflib

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1.graph.read.operations import describe_operations
from keras_port.tf1.graph.read.operations import output_offsets
from keras_port.tf1.graph.read.protos import FunctionDef
from keras_port.tf1.graph.read.protos import GraphDef
from keras_port.tf1.graph.read.protos import NodeDef
from keras_port.tf1.graph.read.protos import OpDef

# The parts of a sparse placeholder, in the order of `tf.SparseTensor`.
SPARSE_PARTS = ("indices", "values", "shape")
# Names that `suggest_names` shows.
MAX_SUGGESTIONS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """An operation, with its inputs as keys.

    Args:
        name: Name of the operation.
        op: Type of the operation, such as `"MatMul"`.
        inputs: Keys of its input tensors.
        controls: Names of the operations that must run before it.
        proto: TensorFlow's own record, for the attributes.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    controls: tuple[str, ...]
    proto: NodeDef = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Scope:
    """The operations of the graph, or of one function, by name.

    Args:
        name: Name of the function, `""` for the graph.
        nodes: The operations.
        arguments: Keys of the function's arguments.
        results: Keys of the function's results.
        controls: Operations that the function runs for their effect.
    """

    name: str
    nodes: dict[str, Node]
    arguments: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()

    def node(self, key: str) -> Node:
        """Returns the operation that a key belongs to."""
        name = operation_name(key)
        found = self.nodes.get(name)
        if found is None:
            raise ValueError(
                f"The graph is broken: its operation {name!r} is missing"
                f"{self.where()}."
            )
        return found

    def where(self) -> str:
        """Returns where its operations are, to end a sentence with."""
        return f" in the function {self.name!r}" if self.name else ""


def operation_name(key: str) -> str:
    """Returns the name of the operation in a key."""
    return key[1:] if key.startswith("^") else key.rpartition(":")[0]


def tensor_key(name: str) -> str:
    """Returns `"x:0"` for `"x"`, `"x:0"` or `"x:00"`."""
    before, colon, number = name.rpartition(":")
    if not colon:
        return f"{name}:0"
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ValueError(
            f"The graph is broken: {name!r} is not the name of a tensor."
        )
    return f"{before}:{int(number)}"


def variable_name(node: Node) -> str:
    """Returns the name under which a variable's value is kept.

    Two operations with the same shared name are one variable.
    """
    shared: str = node.proto.attr["shared_name"].s.decode("utf-8", "replace")
    return shared or node.name


def variable_dtype(node: Node) -> tf.DType:
    """Returns the type of a variable."""
    number = node.proto.attr["dtype"].type
    try:
        return tf.as_dtype(number).base_dtype
    except TypeError as error:
        raise ValueError(
            f"The graph is broken: the type of the variable {node.name!r} is "
            f"unknown. Received: dtype={number}."
        ) from error


def called_functions(node: Node) -> list[str]:
    """Returns the names of the functions that an operation may call."""
    names = [node.op]
    for attribute in node.proto.attr.values():
        if attribute.HasField("func"):
            names.append(attribute.func.name)
        names += [one.name for one in attribute.list.func]
    return names


def graph_scope(graph: GraphDef) -> Scope:
    """Returns the operations of a graph."""
    nodes: dict[str, Node] = {}
    for proto in graph.node:
        if not proto.name or proto.name in nodes:
            raise ValueError(
                "The graph is broken: the name of every operation must be "
                f"unique and not empty. Received: {proto.name!r}."
            )
        nodes[proto.name] = Node(
            proto.name, proto.op, *split_inputs(proto.input), proto
        )
    return Scope("", nodes)


def split_inputs(
    names: Iterable[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the keys of the input tensors and the names of the controls."""
    tensors, controls = [], []
    for name in names:
        if name.startswith("^"):
            controls.append(name[1:])
        else:
            tensors.append(tensor_key(name))
    return tuple(tensors), tuple(controls)


def function_scopes(graph: GraphDef) -> dict[str, Scope]:
    """Returns the operations of every function in a graph, by its name."""
    functions = {one.signature.name: one for one in graph.library.function}
    types = {
        node.op
        for function in functions.values()
        for node in function.node_def
        if node.op not in functions
    }
    descriptions = describe_operations(types) if types else {}
    descriptions |= {name: one.signature for name, one in functions.items()}
    return {
        name: function_scope(one, descriptions)
        for name, one in functions.items()
    }


def function_scope(
    function: FunctionDef, descriptions: Mapping[str, OpDef]
) -> Scope:
    """Returns the operations of a function, which names its inputs its own way.

    In a function an input is `"name:output:0"`, by the name of the output.
    """
    name = function.signature.name
    protos = {proto.name: proto for proto in function.node_def}

    def key(text: str) -> str:
        source, *rest = text.split(":")
        if not rest:
            return f"{source}:0"
        proto = protos.get(source)
        offsets: dict[str, int] = {}
        if proto is not None and proto.op in descriptions and len(rest) == 2:
            offsets = output_offsets(proto, descriptions[proto.op])
        if rest[0] not in offsets or not rest[1].isdigit():
            raise ValueError(
                f"The graph is broken: the tensor {text!r} is missing in the "
                f"function {name!r}."
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


def find_tensor(name: str, scope: Scope, argument: str) -> str:
    """Returns the key of a tensor that a user has named.

    Args:
        name: `"x_"` or `"x_:0"`.
        scope: The graph.
        argument: Name of the argument, for the message.

    Raises:
        ValueError: If the graph has no operation of that name.
    """
    is_name = isinstance(name, str) and name and not name.startswith("^")
    before, colon, number = name.rpartition(":") if is_name else ("", "", "")
    if not is_name or (colon and not (number.isascii() and number.isdigit())):
        raise ValueError(
            f"`{argument}` must hold names of tensors, such as 'x_' or "
            f"'x_:0'. Received: {name!r}."
        )
    operation = before if colon else name
    if operation not in scope.nodes:
        raise ValueError(
            f"`{argument}`: the graph has no operation {operation!r}. "
            f"{suggest_names(operation, scope.nodes)}"
        )
    return f"{operation}:{int(number) if colon else 0}"


def find_sparse_parts(name: str, scope: Scope) -> list[str]:
    """Returns the keys of the parts of a sparse placeholder, if it is one."""
    if not isinstance(name, str) or name in scope.nodes:
        return []
    parts = [f"{name}/{part}" for part in SPARSE_PARTS]
    is_there = all(part in scope.nodes for part in parts)
    return [f"{part}:0" for part in parts] if is_there else []


def suggest_names(
    name: str, names: Iterable[str], lister: str = "list_graph"
) -> str:
    """Returns a sentence with the names that are nearest to a wrong one.

    Args:
        name: The wrong name.
        names: The names there are.
        lister: The function that lists them. Defaults to `"list_graph"`.
    """
    # Compares the last part of a name too, without its scopes.
    by_case: dict[str, str] = {}
    for one in names:
        by_case.setdefault(one.casefold(), one)
    folded = name.casefold()
    inside = [
        one
        for low, one in by_case.items()
        if folded in low.split("/") or low.rpartition("/")[2] == folded
    ]
    close = [
        by_case[low]
        for low in difflib.get_close_matches(
            folded, by_case, MAX_SUGGESTIONS, 0.5
        )
    ]
    found = list(dict.fromkeys([*inside[:MAX_SUGGESTIONS], *close]))
    if not found:
        return f"`{lister}` shows all names."
    shown = ", ".join(map(show_name, found[:MAX_SUGGESTIONS]))
    return f"Nearest: {shown}. `{lister}` shows more."
