"""Makes what a layer needs of a `.meta` file and a checkpoint."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1._files import open_checkpoint
from keras_port.tf1.graph.constants import make_fixed_input
from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import PathLike
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import Source
from keras_port.tf1.graph.read import Variable
from keras_port.tf1.graph.read import names
from keras_port.tf1.graph.read import read_source
from keras_port.tf1.graph.read import read_values
from keras_port.tf1.graph.read import saved_keys
from keras_port.tf1.graph.read import told_of
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.select import as_tuple
from keras_port.tf1.graph.select import beside
from keras_port.tf1.graph.select import closure
from keras_port.tf1.graph.select import inferred
from keras_port.tf1.graph.select import pruned
from keras_port.tf1.graph.select import reached
from keras_port.tf1.graph.select import refusals

KERAS_TYPES = frozenset(
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
    """Returns the program of a layer, and the values of its variables."""
    source = read_source(path)
    with told_of(source.path):
        cuts = listed(inputs, source.scope, "inputs")
        wanted = listed(outputs, source.scope, "outputs")
        by_key = {
            names.tensor(k, source.scope, "constants"): k for k in constants
        }
        if set(cuts) & by_key.keys():
            raise ValueError(
                "`constants` must not hold tensors of `inputs`. Received: "
                f"{sorted(set(cuts) & by_key.keys())}"
            )
        given = {key: constants[name] for key, name in by_key.items()}
        program = assembled(source, cuts, wanted, given, trainable=trainable)
        values = read_values(
            program.variables,
            saved_keys(source.meta, source.scope, source.collections),
            open_checkpoint(checkpoint or source.path.with_suffix("")),
        )
        variables = tuple(
            dataclasses.replace(one, shape=value.shape)
            for one, value in zip(program.variables, values, strict=True)
        )
        return dataclasses.replace(program, variables=variables), values


def listed(
    names_: Sequence[str] | str, scope: Scope, argument: str
) -> list[str]:
    """Returns the keys of tensors that a user has named."""
    found = [names_] if isinstance(names_, str) else list(names_)
    keys = [names.tensor(name, scope, argument) for name in found]
    if not keys or len(set(keys)) < len(keys):
        raise ValueError(
            f"`{argument}` must name at least one tensor, and each once. "
            f"Received: {found}"
        )
    return keys


def assembled(
    source: Source,
    cuts: list[str],
    wanted: list[str],
    constants: dict[str, Any],
    *,
    trainable: bool,
) -> Program:
    """Puts a program together, once all names are known to be there."""
    scope, given = source.scope, [*cuts, *constants]
    keep = closure(wanted, scope, given)
    check(source, keep, trainable=trainable)
    updates, losses = beside(source, keep, given)
    more = closure([*updates, *losses], scope, given, keep)
    check(source, more, trainable=trainable)
    keep |= more
    # With all that lies before the inputs, since it tells their shapes.
    whole = keep | closure([*wanted, *given], scope, ())
    kinds = inferred(subgraph(source, whole, ()), [*given, *wanted])
    return Program(
        subgraph(source, keep, given),
        tuple(
            GraphInput(k, kinds[k][0].name, as_tuple(kinds[k][1])) for k in cuts
        ),
        tuple(wanted),
        tuple(
            make_fixed_input(k, value, *kinds[k])
            for k, value in constants.items()
        ),
        tuple(updates),
        tuple(losses),
        tuple(variables_in(source, keep, trainable=trainable)),
    )


def subgraph(
    source: Source, keep: Mapping[str, None], cuts: Sequence[str]
) -> Any:
    """Returns a graph of some operations and the functions they call."""
    nodes = (source.scope.nodes[name] for name in keep)
    functions = reached(nodes, source.functions)
    return pruned(source.meta.graph_def, keep, cuts, functions)


def check(source: Source, keep: Iterable[str], *, trainable: bool) -> None:
    """Raises if an operation among those needed cannot be run."""
    nodes = [source.scope.nodes[name] for name in keep]
    functions = reached(nodes, source.functions)
    scopes = [
        (source.scope, nodes),
        *((one, list(one.nodes.values())) for one in functions.values()),
    ]
    refusals.check(refusals.refusals(scopes, source.functions))
    if trainable:
        refusals.check(refusals.custom_gradients(scopes))


def variables_in(
    source: Source, keep: Iterable[str], *, trainable: bool
) -> list[Variable]:
    """Returns the variables among some operations, in the graph's order."""
    wanted = set(keep)
    found: dict[str, Variable] = {}
    for node in source.scope.nodes.values():
        if node.name in wanted and node.op in VARIABLE_OPS:
            trained = source.collections.trainable if trainable else ()
            found.setdefault(
                variable_name(node), variable_record(node, node.name in trained)
            )
    return list(found.values())


def variable_record(node: Node, is_trained: bool) -> Variable:
    """Returns the record of a variable; its shape may hold -1."""
    dtype = tf.as_dtype(node.proto.attr["dtype"].type)
    if dtype.base_dtype.name not in KERAS_TYPES:
        raise ValueError(
            f"The variable {node.name!r} is of type {dtype.name}, which no "
            "Keras variable can be."
        )
    shape = node.proto.attr["shape"].shape
    sizes = [-1] if shape.unknown_rank else [dim.size for dim in shape.dim]
    return Variable(
        node.name,
        dtype.base_dtype.name,
        tuple(sizes),
        is_trained,
        variable_name(node),
    )
