"""Rewrites a traced graph so that its names follow the model's layers."""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import layer_scopes
from keras_port._support import variable_names
from keras_port.inspection.operation_names import OperationNames
from keras_port.inspection.operation_names import UniqueNames

# Captured constants of at most this many values are shown with their values.
MAX_CONSTANT_SIZE = 1000
# They mean something only in the process that traced the graph.
PROCESS_ATTRIBUTES = ("_gradient_op_type", "_user_specified_name")
# They name functions for the gradient, which the graph does not call.
GRADIENT_ATTRIBUTES = ("forward_function_name", "backward_function_name")


def clean_graph_def(
    function: Any,
    model: keras.Layer | None = None,
    *,
    rename_scopes: Mapping[str, str] | None = None,
) -> tf.compat.v1.GraphDef:
    """Returns the graph of a function with names that follow the layers.

    Operations come under the names of their layers, `conv1/relu`, and every
    variable is a node, `conv1/kernel`. The scope of the model and the numbers
    that Keras and TensorFlow append are left out, so two models that are built
    alike have the same names. Names inside the functions of loops and branches
    stay as they were traced. An `IdentityN`, which computes nothing, is left
    out unless it is a result of the function.

    Args:
        function: A concrete function, made by `tf.function` or
            `tf.compat.v1.wrap_function`.
        model: The model or layer that the function calls. Defaults to `None`:
            names stay as they are.
        rename_scopes: New names for scopes of operations and of the variables
            of the optimizer and the metrics, such as
            `{"gradient_tape": "gradients"}`. Defaults to `None`: none is
            renamed.

    Returns:
        A `GraphDef` that `tf.graph_util.import_graph_def` accepts.

    Example:

    >>> call = tf.function(lambda images: model(images))
    >>> spec = tf.TensorSpec((None, 784), "float32", name="images")
    >>> graph_def = clean_graph_def(call.get_concrete_function(spec), model)
    >>> [node.name for node in graph_def.node][-2:]
    ['scores/softmax', 'output']
    """
    return clean_graph(function, model, rename_scopes=rename_scopes).graph_def


@dataclasses.dataclass(frozen=True)
class CleanGraph:
    """A graph with clean names, and the way back to the traced one.

    Args:
        graph_def: The graph, with variables as nodes under their layers.
        names: Clean name of each operation, by its traced name.
        variables: All variables that are known, of Keras or TensorFlow, by
            their clean names. Those that the function uses are nodes.
    """

    graph_def: tf.compat.v1.GraphDef
    names: Mapping[str, str]
    variables: Mapping[str, Any]


def clean_graph(
    function: Any,
    model: keras.Layer | None = None,
    *,
    rename_scopes: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
) -> CleanGraph:
    """Returns the graph of `clean_graph_def` together with the new names.

    Args:
        function: As for `clean_graph_def`.
        model: As for `clean_graph_def`.
        rename_scopes: As for `clean_graph_def`.
        outputs: Name for the operation of each output, by its traced name.
            Defaults to `None`: the keys of the function's result, or `output`.
    """
    scopes = layer_scopes(model) if model is not None else None
    namer = OperationNames(scopes, rename_scopes or {})
    known = variable_names(scopes) if scopes else []
    known += [(v.name.partition(":")[0], v) for v in function.variables]
    traced = function.graph.as_graph_def(add_shapes=True)
    skipped = skip_identity_n(traced, [t.op.name for t in function.outputs])
    operations = [
        operation
        for operation in function.graph.get_operations()
        if not is_return(operation) and operation.name not in skipped
    ]
    unique = UniqueNames()
    fixed = {
        tensor.op.name: unique.give(tensor.op.name)
        for tensor in own_inputs(function)
    }
    variables = unique_variables(known, namer, unique)
    handles = names_by_handle(variables)
    captured: dict[str, Any] = {}
    # The variables that are nodes, also their copies on other devices.
    nodes: dict[str, Any] = {}
    for outer, inner in captures(function):
        captured[inner.op.name] = outer
        if id(outer) in handles:
            name = handles[id(outer)]
            variable = variables[name]
            if name in nodes:
                name = unique.give(f"{name}/replica_1")
            fixed[inner.op.name] = name
            nodes[name] = variable
    fixed |= read_names(operations, fixed, nodes, unique)
    if outputs is None:
        outputs = output_names(function)
    fixed |= {old: unique.give(new) for old, new in outputs.items()}
    names = namer.clean((operation.name for operation in operations), fixed)
    old_names = {clean: old for old, clean in names.items()}
    graph_def = rename_operations(traced, names)
    for node in graph_def.node:
        outer = captured.get(old_names[node.name])
        if node.name in nodes:
            make_variable(node, nodes[node.name])
        elif outer is not None:
            make_constant(node, outer)
    rename_functions(graph_def)
    return CleanGraph(graph_def, names, variables)


def skip_identity_n(
    graph_def: tf.compat.v1.GraphDef, kept: Collection[str]
) -> set[str]:
    """Connects the users of every `IdentityN` to what it passes on.

    `tf.custom_gradient` leads the arguments and results of a function through
    one. It computes nothing, and hides where a value comes from.

    Args:
        graph_def: The graph, changed in place. The `IdentityN` stay in it.
        kept: Names of operations that are not skipped.

    Returns:
        The names of the operations that are not used any more.
    """
    passed = {
        node.name: node.input
        for node in graph_def.node
        if node.op == "IdentityN" and node.name not in kept
    }

    def source(name: str) -> str:
        operation, _, index = name.removeprefix("^").partition(":")
        while operation in passed:
            tensor = passed[operation][int(index or 0)]
            operation, _, index = tensor.partition(":")
            name = f"^{operation}" if name.startswith("^") else tensor
        return name

    for node in graph_def.node:
        if node.name not in passed:
            node.input[:] = [source(name) for name in node.input]
    return set(passed)


def rename_operations(
    traced: tf.compat.v1.GraphDef, names: Mapping[str, str]
) -> tf.compat.v1.GraphDef:
    """Returns a graph with other names for its operations.

    Args:
        traced: The graph.
        names: New name of each operation. Operations without one are left
            out.
    """
    graph_def = tf.compat.v1.GraphDef()
    graph_def.versions.CopyFrom(traced.versions)
    graph_def.library.CopyFrom(traced.library)
    for old in traced.node:
        if old.name not in names:
            continue
        node = graph_def.node.add()
        node.CopyFrom(old)
        node.name = names[old.name]
        for attribute in PROCESS_ATTRIBUTES:
            node.attr.pop(attribute, None)
        places = [
            f"loc:@{names[place.decode()[5:]]}".encode()
            for place in old.attr["_class"].list.s
            if place.decode()[5:] in names
        ]
        node.attr["_class"].list.s[:] = places
        if not places:
            del node.attr["_class"]
        inputs = [rename_input(name, names) for name in old.input]
        data = [name for name in inputs if not name.startswith("^")]
        # TensorFlow lists control inputs in no fixed order.
        control = sorted({name for name in inputs if name.startswith("^")})
        node.input[:] = data + [name for name in control if name != "^"]
    return graph_def


def rename_input(name: str, names: Mapping[str, str]) -> str:
    """Renames an input, `a`, `a:1` or `^a`; gives "^" if it is left out."""
    if name.startswith("^"):
        return f"^{names.get(name[1:], '')}"
    operation, colon, index = name.partition(":")
    return f"{names[operation]}{colon}{index}"


def make_variable(node: Any, variable: Any) -> None:
    """Turns the placeholder of a captured variable into a variable node."""
    node.op = "VarHandleOp"
    shapes = node.attr["_output_shapes"]
    node.attr.clear()
    shape = tf.TensorShape(variable.shape)
    node.attr["dtype"].type = tf.as_dtype(variable.dtype).as_datatype_enum
    node.attr["shape"].shape.CopyFrom(shape.as_proto())
    node.attr["shared_name"].s = node.name.encode()
    node.attr["container"].s = b""
    shapes.Clear()
    shapes.list.shape.add()
    node.attr["_output_shapes"].CopyFrom(shapes)


def make_constant(node: Any, value: Any) -> None:
    """Turns the placeholder of a small captured tensor into a constant."""
    if not hasattr(value, "numpy") or value.dtype in (tf.resource, tf.variant):
        return
    if int(np.prod(value.shape)) > MAX_CONSTANT_SIZE:
        return
    node.op = "Const"
    proto = tf.make_tensor_proto(value.numpy(), dtype=value.dtype)
    node.attr["value"].tensor.CopyFrom(proto)
    node.attr.pop("shape", None)


def rename_functions(graph_def: tf.compat.v1.GraphDef) -> None:
    """Names the functions of a graph after the operations that call them.

    TensorFlow numbers them through the whole process. Functions that nothing
    calls are left out.

    Args:
        graph_def: The graph, changed in place.
    """
    library = {item.signature.name: item for item in graph_def.library.function}
    unique = UniqueNames()
    names: dict[str, str] = {}
    queue = [(node.name, node) for node in graph_def.node]
    for path, node in queue:
        for attribute, reference in function_references(node):
            old = reference.name
            if old not in library:
                continue
            if old not in names:
                flat = path.replace("/", "_")
                names[old] = unique.give(f"{flat}_{attribute}")
                queue += [
                    (names[old] + "_" + inner.name, inner)
                    for inner in library[old].node_def
                ]
            reference.name = names[old]
        if node.op in library:
            names.setdefault(node.op, unique.give(f"call_{path}"))
            node.op = names[node.op]
    del graph_def.library.gradient[:]
    del graph_def.library.function[:]
    for old, new in names.items():
        item = graph_def.library.function.add()
        item.CopyFrom(library[old])
        item.signature.name = new
        for attribute in GRADIENT_ATTRIBUTES:
            item.attr.pop(attribute, None)


def function_references(node: Any) -> Iterator[tuple[str, Any]]:
    """Yields the attributes of a node that name functions, in order."""
    for key in sorted(node.attr):
        value = node.attr[key]
        if value.HasField("func"):
            yield key, value.func
        for reference in value.list.func:
            yield key, reference


def is_return(operation: tf.Operation) -> bool:
    """Returns whether a `tf.function` waits here for its side effects."""
    return operation.type == "NoOp" and "/" not in operation.name


def captures(function: Any) -> list[tuple[Any, tf.Tensor]]:
    """Returns the captured tensors of a function with their placeholders."""
    outer = list(function.captured_inputs)
    inner = list(function.inputs)[len(function.inputs) - len(outer) :]
    return list(zip(outer, inner, strict=True))


def own_inputs(function: Any) -> list[tf.Tensor]:
    """Returns the placeholders of a function's arguments."""
    count = len(function.inputs) - len(function.captured_inputs)
    return list(function.inputs[:count])


def unique_variables(
    known: Iterable[tuple[str, Any]],
    namer: OperationNames,
    unique: UniqueNames,
) -> dict[str, Any]:
    """Returns every variable once, keyed by a unique name."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, variable in known:
        handles = set(map(id, variable_handles(variable)))
        if not handles & seen:
            found[unique.give(namer.rename_scopes(name))] = variable
        seen |= handles
    return found


def variable_handles(variable: Any) -> list[Any]:
    """Returns the tensors by which a graph captures a variable."""
    value = variable
    if isinstance(variable, keras.Variable):
        value = variable.value
    # Under a strategy every replica has a variable.
    replicas = getattr(value, "values", (value,))
    return [replica.handle for replica in replicas]


def names_by_handle(variables: Mapping[str, Any]) -> dict[int, str]:
    """Returns the name of a variable by the identity of its handle."""
    return {
        id(handle): name
        for name, variable in variables.items()
        for handle in variable_handles(variable)
    }


def read_names(
    operations: Iterable[tf.Operation],
    fixed: Mapping[str, str],
    variables: Mapping[str, Any],
    unique: UniqueNames,
) -> dict[str, str]:
    """Names the reads of variables as TensorFlow 1 did: `conv1/kernel/read`."""
    found = {}
    for operation in operations:
        if operation.type != "ReadVariableOp":
            continue
        variable = fixed.get(operation.inputs[0].op.name)
        if variable in variables:
            found[operation.name] = unique.give(f"{variable}/read")
    return found


def output_names(function: Any) -> dict[str, str]:
    """Returns names for the operations whose results a function returns."""
    structure = function.structured_outputs
    keys: list[str] = ["output"] * len(function.outputs)
    if isinstance(structure, Mapping) and len(structure) == len(keys):
        keys = [str(key) for key in sorted(structure)]
    return {
        tensor.op.name: key
        for key, tensor in zip(keys, function.outputs, strict=True)
        if re.fullmatch(r"Identity(_\d+)?", tensor.op.name)
    }
