"""Makes the program of a layer from a `.meta` file and a checkpoint."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1._files import open_checkpoint
from keras_port.tf1.graph.phase import Phase
from keras_port.tf1.graph.read import FixedInput
from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import MetaFile
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import PathLike
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import Variable
from keras_port.tf1.graph.read import find_saved_values
from keras_port.tf1.graph.read import find_tensor
from keras_port.tf1.graph.read import name_file_in_errors
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.read import read_meta_file
from keras_port.tf1.graph.read import read_values
from keras_port.tf1.graph.read import variable_dtype
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.select import find_custom_gradients
from keras_port.tf1.graph.select import find_functions
from keras_port.tf1.graph.select import find_needed
from keras_port.tf1.graph.select import find_parts
from keras_port.tf1.graph.select import find_refusals
from keras_port.tf1.graph.select import find_updates_and_losses
from keras_port.tf1.graph.select import infer_specs
from keras_port.tf1.graph.select import prune_graph
from keras_port.tf1.graph.select import raise_if_refused
from keras_port.tf1.graph.select import shape_as_tuple

VARIABLE_TYPES = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["bfloat16", "float16", "float32", "float64", "bool", "complex64"]
)


def convert(
    path: PathLike,
    inputs: Sequence[str] | str,
    outputs: Sequence[str] | str,
    constants: Mapping[str, Any],
    checkpoint: PathLike | None,
    *,
    trainable: bool,
) -> tuple[Program, list[np.ndarray]]:
    """Returns the program of a layer, and the values of its variables.

    The arguments are those of `GraphLayer`.
    """
    source = read_meta_file(path)
    with name_file_in_errors(source.path):
        cuts = find_tensors(inputs, source.scope, "inputs")
        wanted = find_tensors(outputs, source.scope, "outputs")
        values_by_key = {
            find_tensor(name, source.scope, "constants"): value
            for name, value in constants.items()
        }
        if set(cuts) & values_by_key.keys():
            raise ValueError(
                "`constants` must not name a tensor of `inputs`. Received: "
                f"{sorted(set(cuts) & values_by_key.keys())} in both."
            )
        program = make_program(
            source, cuts, wanted, values_by_key, trainable=trainable
        )
        if not program.variables and checkpoint is None:
            return program, []  # A frozen graph has no checkpoint.
        values = read_values(
            program.variables,
            find_saved_values(source.meta, source.scope, source.collections),
            open_checkpoint(
                source.path.with_suffix("")
                if checkpoint is None
                else checkpoint,
                "checkpoint",
            ),
        )
        variables = tuple(
            dataclasses.replace(one, shape=value.shape)
            for one, value in zip(program.variables, values, strict=True)
        )
        return dataclasses.replace(program, variables=variables), values


def find_tensors(
    names: Sequence[str] | str, scope: Scope, argument: str
) -> list[str]:
    """Returns the keys of the tensors that a user has named."""
    listed = [names] if isinstance(names, str) else list(names)
    keys = [find_tensor(name, scope, argument) for name in listed]
    if not keys or len(set(keys)) < len(keys):
        raise ValueError(
            f"`{argument}` must name at least one tensor, and each once. "
            f"Received: {argument}={listed}."
        )
    return keys


def make_program(
    source: MetaFile,
    cuts: list[str],
    wanted: list[str],
    constants: dict[str, Any],
    *,
    trainable: bool,
) -> Program:
    """Returns the program of a layer.

    Args:
        source: The `.meta` file.
        cuts: Keys of the inputs.
        wanted: Keys of the outputs.
        constants: Values of other tensors, by key.
        trainable: Whether the variables are trained.
    """
    scope, given = source.scope, [*cuts, *constants]
    keep = find_needed(wanted, scope, given)
    check_operations(source, keep, trainable=trainable)
    updates, losses = find_updates_and_losses(source, keep, given)
    more = find_needed([*updates, *losses], scope, given, keep)
    check_operations(source, more, trainable=trainable)
    keep |= more
    # The operations before the inputs tell the shapes of the inputs.
    whole = keep | find_needed([*wanted, *given], scope, ())
    specs = infer_specs(make_graph(source, whole, ()), [*given, *wanted])
    return Program(
        make_graph(source, keep, given),
        tuple(
            GraphInput(
                key, specs[key].dtype.name, shape_as_tuple(specs[key].shape)
            )
            for key in cuts
        ),
        tuple(wanted),
        tuple(
            make_constant(key, value, specs[key])
            for key, value in constants.items()
        ),
        tuple(updates),
        tuple(losses),
        tuple(find_variables(source, keep, trainable=trainable)),
    )


def make_graph(
    source: MetaFile, names: Mapping[str, None], given: Sequence[str]
) -> protos.GraphDef:
    """Returns a graph of some operations and the functions they call."""
    nodes = (source.scope.nodes[name] for name in names)
    functions = find_functions(nodes, source.functions)
    return prune_graph(source.meta.graph_def, names, given, functions)


def check_operations(
    source: MetaFile, names: Iterable[str], *, trainable: bool
) -> None:
    """Raises an error if an operation cannot run, or cannot be trained."""
    parts = find_parts(names, source.scope, source.functions)
    raise_if_refused(find_refusals(parts, source.functions))
    if trainable:
        raise_if_refused(find_custom_gradients(parts))


def make_constant(key: str, value: Any, spec: tf.TensorSpec) -> FixedInput:
    """Returns a constant, checked against the tensor that it replaces."""
    name = f"constants[{operation_name(key)!r}]"
    # As an array, a pair of values would pass unnoticed wherever the graph does
    # not tell the shape.
    if isinstance(value, tuple):
        raise ValueError(
            f"`{name}` must be a value, or a `Phase(training=..., "
            f"inference=...)` of two values. Received: {name}={value!r}."
        )
    both = value if isinstance(value, Phase) else Phase(value, value)
    lists = []
    for one in (both.training, both.inference):
        try:
            array = np.asarray(one, spec.dtype.as_numpy_dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{name}` must be of type {spec.dtype.name}. Received: "
                f"{one!r}."
            ) from error
        if not spec.shape.is_compatible_with(array.shape):
            raise ValueError(
                f"`{name}` must be of shape {spec.shape}. Received: {one!r} "
                f"of shape {array.shape}."
            )
        lists.append(array.tolist())
    return FixedInput(key, spec.dtype.name, *lists)


def find_variables(
    source: MetaFile, names: Mapping[str, None], *, trainable: bool
) -> list[Variable]:
    """Returns the variables among some operations, in the graph's order."""
    trained = source.collections.trainable if trainable else frozenset()
    found: dict[str, Variable] = {}
    for node in source.scope.nodes.values():
        if node.name in names and node.op in operations.VARIABLES:
            found.setdefault(
                variable_name(node), make_variable(node, node.name in trained)
            )
    return list(found.values())


def make_variable(node: Node, is_trained: bool) -> Variable:
    """Returns the record of a variable; its shape may hold -1."""
    dtype = variable_dtype(node)
    if dtype.name not in VARIABLE_TYPES:
        raise ValueError(
            f"The variable {node.name!r} is of type {dtype.name}, which no "
            f"Keras variable can have. Expected one of "
            f"{sorted(VARIABLE_TYPES)}."
        )
    shape = node.proto.attr["shape"].shape
    sizes = [-1] if shape.unknown_rank else [dim.size for dim in shape.dim]
    return Variable(
        node.name,
        dtype.name,
        tuple(sizes),
        is_trained,
        variable_name(node),
    )
