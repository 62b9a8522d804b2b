"""Makes the program of a layer from a graph and a checkpoint."""

from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1._files import open_checkpoint
from keras_port.tf1.graph.names import choose_trained
from keras_port.tf1.graph.names import find_inputs
from keras_port.tf1.graph.names import find_outputs
from keras_port.tf1.graph.phase import Phase
from keras_port.tf1.graph.read import FixedInput
from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import PathLike
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import Variable
from keras_port.tf1.graph.read import find_tensor
from keras_port.tf1.graph.read import has_variables
from keras_port.tf1.graph.read import make_variables_of_constants
from keras_port.tf1.graph.read import name_file_in_errors
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.read import read_graph_file
from keras_port.tf1.graph.read import read_values
from keras_port.tf1.graph.read import variable_dtype
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.select import drop_devices
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


@dataclasses.dataclass(frozen=True)
class LayerRequest:
    """What a user wants of a graph. The arguments are those of `GraphLayer`."""

    inputs: str | Sequence[str] | None
    outputs: str | Sequence[str] | None
    signature: str | None
    constants: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int | None]]
    checkpoint: PathLike | None
    trainable: bool | str | Sequence[str]


def convert(
    path: PathLike, request: LayerRequest
) -> tuple[Program, list[np.ndarray]]:
    """Returns the program of a layer, and the values of its variables."""
    source = read_graph_file(path)
    with name_file_in_errors(source.path):
        trained = choose_trained(source, request.trainable)
        values: dict[str, np.ndarray] = {}
        if not has_variables(source):
            source, values = make_variables_of_constants(
                source, trained.__contains__
            )
        program = make_program(source, request, trained)
        missing = [one for one in program.variables if one.name not in values]
        if missing or request.checkpoint is not None:
            checkpoint = (
                source.checkpoint
                if request.checkpoint is None
                else request.checkpoint
            )
            if checkpoint is None:
                raise ValueError(
                    "The file holds a graph without the values of its "
                    f"variables, such as {missing[0].name!r}. Give the "
                    "`checkpoint` that was saved with it."
                )
            file = open_checkpoint(checkpoint, "checkpoint")
            values |= read_values(missing, source, file)
        ordered = [values[one.name] for one in program.variables]
        variables = tuple(
            dataclasses.replace(one, shape=value.shape)
            for one, value in zip(program.variables, ordered, strict=True)
        )
        return dataclasses.replace(program, variables=variables), ordered


def make_program(
    source: GraphFile, request: LayerRequest, trained: frozenset[str]
) -> Program:
    """Returns the program of a layer.

    Args:
        source: The graph.
        request: What the layer is to compute.
        trained: Names of the variables that train.
    """
    scope = source.scope
    inputs = find_inputs(request.inputs, source, request.signature)
    wanted = find_outputs(request.outputs, source, request.signature)
    cuts = [one.key for one in inputs]
    constants = find_constants(request.constants, cuts, scope)
    shapes = find_shapes(request.shapes, cuts, scope)
    given = [*cuts, *constants]
    keep = find_needed(wanted, scope, given)
    is_trained = bool(trained)
    check_operations(source, keep, is_trained=is_trained)
    updates, losses = find_updates_and_losses(source, keep, given)
    more = find_needed([*updates, *losses], scope, given, keep)
    check_operations(source, more, is_trained=is_trained)
    keep |= more
    # The operations before the inputs tell the shapes of the inputs.
    whole = keep | find_needed([*wanted, *given], scope, ())
    specs = infer_specs(
        make_graph(source, whole, ()), [*given, *wanted], shapes
    )
    graph = make_graph(source, keep, given)
    drop_devices(graph)
    return Program(
        graph,
        tuple(
            GraphInput(
                one.key,
                specs[one.key].dtype.name,
                shape_as_tuple(specs[one.key].shape),
                one.sparse,
            )
            for one in inputs
        ),
        tuple(wanted),
        tuple(
            make_constant(key, value, find_spec(key, scope, specs))
            for key, value in constants.items()
        ),
        tuple(updates),
        tuple(losses),
        tuple(find_variables(source, keep, trained)),
    )


def find_constants(
    constants: Mapping[str, Any], cuts: Sequence[str], scope: Scope
) -> dict[str, Any]:
    """Returns the values of constants, by key."""
    found = {
        find_tensor(name, scope, "constants"): value
        for name, value in constants.items()
    }
    if set(cuts) & found.keys():
        raise ValueError(
            "`constants` must not name a tensor of `inputs`. Received: "
            f"{sorted(set(cuts) & found.keys())} in both."
        )
    return found


def find_shapes(
    shapes: Mapping[str, Sequence[int | None]],
    cuts: Sequence[str],
    scope: Scope,
) -> dict[str, tf.TensorShape]:
    """Returns the shapes that the user has given for inputs, by key."""
    found = {}
    for name, shape in shapes.items():
        key = find_tensor(name, scope, "shapes")
        if key not in cuts:
            raise ValueError(
                f"`shapes` must name inputs. Received: {name!r}; inputs: "
                f"{list(cuts)}."
            )
        try:
            found[key] = tf.TensorShape(tuple(shape))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`shapes[{name!r}]` must hold sizes, with `None` for an open "
                f"one, such as (None, 784). Received: {shape!r}."
            ) from error
    return found


def find_spec(
    key: str, scope: Scope, specs: Mapping[str, tf.TensorSpec]
) -> tf.TensorSpec:
    """Returns the shape and type of a value that replaces a tensor.

    A value in the place of a variable is one of the variable's type.
    """
    node = scope.node(key)
    if node.op not in operations.VARIABLES:
        return specs[key]
    shape = node.proto.attr["shape"].shape
    return tf.TensorSpec(
        None if shape.unknown_rank else shape, variable_dtype(node)
    )


def make_graph(
    source: GraphFile, names: Mapping[str, None], given: Sequence[str]
) -> protos.GraphDef:
    """Returns a graph of some operations and the functions they call."""
    nodes = (source.scope.nodes[name] for name in names)
    functions = find_functions(nodes, source.functions)
    return prune_graph(source.meta.graph_def, names, given, functions)


def check_operations(
    source: GraphFile, names: Iterable[str], *, is_trained: bool
) -> None:
    """Raises an error if an operation cannot run, or cannot be trained."""
    parts = find_parts(names, source.scope, source.functions)
    raise_if_refused(find_refusals(parts, source.functions))
    if is_trained:
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
    source: GraphFile, names: Mapping[str, None], trained: Container[str]
) -> list[Variable]:
    """Returns the variables among some operations, in the graph's order."""
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
