"""A traced function as a graph that a reader finds his layers in."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import keras
import tensorflow as tf

from keras_port.inspection.function_names import rename_functions
from keras_port.inspection.gradient_markers import marked_inputs
from keras_port.inspection.layer_names import layer_scopes
from keras_port.inspection.layer_names import variable_names
from keras_port.inspection.nodes import make_constant
from keras_port.inspection.nodes import make_variable
from keras_port.inspection.nodes import renamed
from keras_port.inspection.operation_names import OperationNames
from keras_port.inspection.operation_names import UniqueNames


@dataclasses.dataclass(frozen=True)
class CleanGraph:
    """A graph with clean names, and how to get back to the traced one.

    Args:
        graph_def: The graph, with variables as nodes under their layers.
        names: Clean name of each operation by its traced name.
        variables: All variables that are known, of Keras or TensorFlow, by
            their clean names. Those that the function uses are nodes.
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
    one kind give the same names. Inside the functions of loops and branches
    names stay as they were traced.

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
    variables = unique_variables(known, namer, unique)
    handles = names_by_handle(variables)
    captured: dict[str, Any] = {}
    for outer, inner in captures(function):
        captured[inner.op.name] = outer
        if id(outer) in handles:
            fixed[inner.op.name] = handles[id(outer)]
    fixed |= read_names(operations, fixed, variables, unique)
    if outputs is None:
        outputs = output_names(function)
    fixed |= {old: unique.give(new) for old, new in outputs.items()}
    results = {tensor.op.name for tensor in function.outputs}
    passed = marked_inputs(operations, kept=fixed.keys() | results)
    names = namer.clean(
        (op.name for op in operations if op.name not in passed), fixed
    )
    traced = {clean: old for old, clean in names.items()}
    graph_def = renamed(function, names, passed)
    for node in graph_def.node:
        outer = captured.get(traced[node.name])
        if node.name in variables:
            make_variable(node, variables[node.name])
        elif outer is not None:
            make_constant(node, outer)
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


def unique_variables(
    known: Iterable[tuple[str, Any]],
    namer: OperationNames,
    unique: UniqueNames,
) -> dict[str, Any]:
    """Returns each variable once, by a name that no other one has."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, variable in known:
        handles = set(map(id, variable_handles(variable)))
        if not handles & seen:
            found[unique.give(namer.apply_rules(name))] = variable
        seen |= handles
    return found


def variable_handles(variable: Any) -> list[Any]:
    """Returns what a graph captures of a variable of Keras or TensorFlow."""
    value = variable
    if isinstance(variable, keras.Variable):
        value = variable.value
    # Under a strategy there is one on each replica.
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
