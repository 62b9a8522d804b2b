"""A traced function as a graph that a reader finds his layers in."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.inspection.function_names import rename_functions
from keras_port.inspection.layer_names import layer_scopes
from keras_port.inspection.layer_names import variable_names
from keras_port.inspection.operation_names import OperationNames
from keras_port.inspection.operation_names import UniqueNames

# Captured constants up to this many values are shown with them.
MAX_CONSTANT_SIZE = 1000


@dataclasses.dataclass(frozen=True)
class CleanGraph:
    """A graph with clean names, and how to get back to the traced one.

    Args:
        graph_def: The graph, with variables as nodes under their layers.
        names: Clean name of each operation by its traced name.
        variables: The variable, of Keras or TensorFlow, of each node that
            stands for one, by its clean name.
    """

    graph_def: tf.compat.v1.GraphDef
    names: Mapping[str, str]
    variables: Mapping[str, Any]


def clean_graph_def(
    function: Any,
    model: keras.Layer | None = None,
    *,
    rules: Mapping[str, str] | None = None,
) -> tf.compat.v1.GraphDef:
    """Returns the graph of a function with the names that a reader expects.

    Operations stand under the names of their layers, `conv1/relu`, and
    variables are nodes of their own, `conv1/kernel`. The scope of the model
    and the numbers that Keras and TensorFlow append are gone, so two models of
    one kind give the same names.

    Args:
        function: A concrete function, of `tf.function` or
            `tf.compat.v1.wrap_function`.
        model: The model or layer that it calls. Defaults to `None`: names
            stay as they are.
        rules: Scopes to rename, of operations and of the optimizer's and
            metrics' variables: `{"gradient_tape": "gradients"}`. Defaults to
            none.

    Example:

    >>> call = tf.function(lambda images: model(images))
    >>> spec = tf.TensorSpec((None, 784), "float32", name="images")
    >>> graph_def = clean_graph_def(call.get_concrete_function(spec), model)
    >>> [node.name for node in graph_def.node][-2:]
    ['scores/softmax', 'output']
    """
    return clean_graph(function, model, rules=rules).graph_def


def clean_graph(
    function: Any,
    model: keras.Layer | None = None,
    *,
    rules: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
) -> CleanGraph:
    """Returns the graph of `clean_graph_def`, and what was renamed.

    Args:
        function: As for `clean_graph_def`.
        model: As for `clean_graph_def`.
        rules: As for `clean_graph_def`.
        outputs: Name for the operation of each output, by its traced name.
            Defaults to the keys of the function's result, or `output`.
    """
    scopes = layer_scopes(model) if model is not None else None
    namer = OperationNames(scopes, rules or {})
    known = variable_names(scopes) if scopes else []
    known += [(v.name.partition(":")[0], v) for v in function.variables]
    operations = [
        operation
        for operation in function.graph.get_operations()
        if not is_return(operation)
    ]
    unique = UniqueNames()
    fixed = {
        tensor.op.name: unique.give(tensor.op.name)
        for tensor in own_inputs(function)
    }
    handles = variables_by_handle(known)
    captured: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    for outer, inner in captures(function):
        captured[inner.op.name] = outer
        if id(outer) in handles:
            name, variable = handles[id(outer)]
            name = unique.give(namer.apply_rules(name))
            fixed[inner.op.name] = name
            variables[name] = variable
    fixed |= read_names(operations, fixed, variables, unique)
    if outputs is None:
        outputs = output_names(function)
    fixed |= {old: unique.give(new) for old, new in outputs.items()}
    names = namer.clean((op.name for op in operations), fixed)
    graph_def = renamed(function, names)
    for node in graph_def.node:
        if node.name in variables:
            make_variable(node, variables[node.name])
    traced = {clean: old for old, clean in names.items()}
    for node in graph_def.node:
        if node.op == "Placeholder" and traced[node.name] in captured:
            make_constant(node, captured[traced[node.name]])
    rename_functions(graph_def)
    return CleanGraph(graph_def, names, variables)


def is_return(operation: tf.Operation) -> bool:
    """Tells the node by which a `tf.function` waits for its side effects."""
    return operation.type == "NoOp" and "/" not in operation.name


def captures(function: Any) -> list[tuple[Any, tf.Tensor]]:
    """Returns what a function takes from outside, and its placeholders."""
    outer = list(function.captured_inputs)
    inner = list(function.inputs)[len(function.inputs) - len(outer) :]
    return list(zip(outer, inner, strict=True))


def own_inputs(function: Any) -> list[tf.Tensor]:
    """Returns the placeholders of a function's arguments."""
    count = len(function.inputs) - len(function.captured_inputs)
    return list(function.inputs[:count])


def variables_by_handle(
    named: Iterable[tuple[str, Any]],
) -> dict[int, tuple[str, Any]]:
    """Returns name and variable by the identity of the variable's handle."""
    found: dict[int, tuple[str, Any]] = {}
    for name, variable in named:
        value = getattr(variable, "value", variable)
        # A variable of Keras holds one of TensorFlow, whose `value` is a
        # method; under a strategy that one holds one per replica.
        value = variable if callable(value) else value
        for replica in getattr(value, "values", (value,)):
            handle = getattr(replica, "handle", None)
            found.setdefault(id(handle), (name, variable))
    return found


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
    """Returns names for the operations that a `tf.function` returns."""
    structure = function.structured_outputs
    keys: list[str] = ["output"] * len(function.outputs)
    if isinstance(structure, Mapping) and len(structure) == len(keys):
        keys = [str(key) for key in sorted(structure)]
    return {
        tensor.op.name: key
        for key, tensor in zip(keys, function.outputs, strict=True)
        if re.fullmatch(r"Identity(_\d+)?", tensor.op.name)
    }


def renamed(function: Any, names: Mapping[str, str]) -> tf.compat.v1.GraphDef:
    """Returns the graph of a function with other names for its operations."""
    traced = function.graph.as_graph_def(add_shapes=True)
    graph_def = tf.compat.v1.GraphDef()
    graph_def.versions.CopyFrom(traced.versions)
    graph_def.library.CopyFrom(traced.library)
    for old in traced.node:
        if old.name not in names:
            continue
        node = graph_def.node.add()
        node.CopyFrom(old)
        node.name = names[old.name]
        node.attr.pop("_user_specified_name", None)
        places = [
            f"loc:@{names[place.decode()[5:]]}".encode()
            for place in old.attr["_class"].list.s
            if place.decode()[5:] in names
        ]
        node.attr["_class"].list.s[:] = places
        if not places:
            del node.attr["_class"]
        inputs = [renamed_input(name, names) for name in old.input]
        data = [name for name in inputs if not name.startswith("^")]
        # TensorFlow lists what must run before in no fixed order.
        control = sorted(name for name in inputs if name.startswith("^"))
        node.input[:] = data + [name for name in control if name != "^"]
    return graph_def


def renamed_input(name: str, names: Mapping[str, str]) -> str:
    """Returns an input, `a`, `a:1` or `^a`; "^" for what is left out."""
    if name.startswith("^"):
        return f"^{names.get(name[1:], '')}"
    operation, colon, index = name.partition(":")
    return f"{names[operation]}{colon}{index}"


def make_variable(node: Any, variable: Any) -> None:
    """Turns the placeholder of a variable into a node that is one."""
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
    """Shows a captured value, unless it is large or of no plain type."""
    if not hasattr(value, "numpy") or value.dtype in (tf.resource, tf.variant):
        return
    if int(np.prod(value.shape)) > MAX_CONSTANT_SIZE:
        return
    node.op = "Const"
    proto = tf.make_tensor_proto(value.numpy(), dtype=value.dtype)
    node.attr["value"].tensor.CopyFrom(proto)
    del node.attr["shape"]
