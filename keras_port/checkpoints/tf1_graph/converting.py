"""Makes what a layer needs of a `.meta` file and a checkpoint."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
import pathlib
from typing import Any

from absl import logging
import numpy as np
import tensorflow as tf

from keras_port.checkpoints.tf1_files import open_checkpoint
from keras_port.checkpoints.tf1_graph import names
from keras_port.checkpoints.tf1_graph import refusing
from keras_port.checkpoints.tf1_graph.graph_collections import Collections
from keras_port.checkpoints.tf1_graph.graph_collections import read_collections
from keras_port.checkpoints.tf1_graph.meta_file import meta_path
from keras_port.checkpoints.tf1_graph.meta_file import read_meta
from keras_port.checkpoints.tf1_graph.mutation import Assigned
from keras_port.checkpoints.tf1_graph.nodes import Scope
from keras_port.checkpoints.tf1_graph.nodes import function_scopes
from keras_port.checkpoints.tf1_graph.nodes import graph_scope
from keras_port.checkpoints.tf1_graph.nodes import operation
from keras_port.checkpoints.tf1_graph.program import Fed
from keras_port.checkpoints.tf1_graph.program import Feed
from keras_port.checkpoints.tf1_graph.program import Program
from keras_port.checkpoints.tf1_graph.program import Variable
from keras_port.checkpoints.tf1_graph.pruning import closure
from keras_port.checkpoints.tf1_graph.pruning import pruned
from keras_port.checkpoints.tf1_graph.pruning import reached
from keras_port.checkpoints.tf1_graph.saved_values import read_values
from keras_port.checkpoints.tf1_graph.saved_values import saved_keys
from keras_port.checkpoints.tf1_graph.shapes import as_tuple
from keras_port.checkpoints.tf1_graph.shapes import inferred
from keras_port.checkpoints.tf1_graph.variables import VARIABLES
from keras_port.checkpoints.tf1_graph.variables import variable_name

PathLike = str | os.PathLike[str]
MetaGraphDef = Any
PLACEHOLDERS = ("Placeholder", "PlaceholderV2")


@dataclasses.dataclass(frozen=True)
class Source:
    """A `.meta` file that has been read.

    Args:
        path: The file.
        meta: Its content.
        scope: Its operations.
        functions: Its library.
        collections: What they are for.
    """

    path: pathlib.Path
    meta: MetaGraphDef
    scope: Scope
    functions: dict[str, Scope]
    collections: Collections


def read_source(path: PathLike) -> Source:
    """Reads a `.meta` file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is broken.
    """
    found = meta_path(path)
    meta = read_meta(found)
    try:
        return Source(
            found,
            meta,
            graph_scope(meta.graph_def),
            function_scopes(meta.graph_def),
            read_collections(meta),
        )
    except ValueError as error:
        raise ValueError(f"{found}: {error}") from error


def convert(
    path: PathLike,
    inputs: Sequence[str] | str,
    outputs: Sequence[str] | str,
    feeds: Mapping[str, Any],
    checkpoint: PathLike | None,
    *,
    trainable: bool,
) -> tuple[Program, list[np.ndarray]]:
    """Returns the program of a layer, and the values of its variables."""
    source = read_source(path)
    try:
        cuts = listed(inputs, source.scope, "inputs")
        wanted = listed(outputs, source.scope, "outputs")
        given = {names.tensor(k, source.scope, "feeds"): k for k in feeds}
        if set(cuts) & given.keys():
            raise ValueError(
                "`feeds` must not hold what is in `inputs`. Received: "
                f"{sorted(set(cuts) & given.keys())}"
            )
        return assemble(
            source,
            cuts,
            wanted,
            {key: feeds[name] for key, name in given.items()},
            source.path.with_suffix("") if checkpoint is None else checkpoint,
            trainable=trainable,
        )
    except ValueError as error:
        raise ValueError(f"{source.path}: {error}") from error


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


def assemble(
    source: Source,
    cuts: list[str],
    wanted: list[str],
    feeds: dict[str, Any],
    checkpoint: PathLike,
    *,
    trainable: bool,
) -> tuple[Program, list[np.ndarray]]:
    """Puts the program together, once all names are known to be there."""
    scope, given = source.scope, [*cuts, *feeds]
    keep = closure(wanted, scope, given)
    check(source, keep, trainable=trainable)
    updates, losses = beside(source, keep, given)
    keep |= closure([*updates, *losses], scope, given)
    check(source, keep, trainable=trainable)
    functions = reached((scope.nodes[name] for name in keep), source.functions)
    # With all that lies before the inputs, since it tells their shapes.
    whole = closure([*wanted, *losses, *given], scope, ())
    kinds = inferred(
        pruned(
            source.meta.graph_def,
            whole | keep,
            (),
            reached(
                (scope.nodes[name] for name in whole | keep), source.functions
            ),
        ),
        [*given, *wanted],
    )
    variables = variables_in(source, keep)
    shapes = [
        one.shape if all(n >= 0 for n in one.shape) else None
        for one in variables
    ]
    values = read_values(
        [one.name for one in variables],
        shapes,
        saved_keys(source.meta, scope, source.collections),
        open_checkpoint(checkpoint),
    )
    program = Program(
        pruned(source.meta.graph_def, keep, given, functions),
        tuple(Fed(k, kinds[k][0].name, as_tuple(kinds[k][1])) for k in cuts),
        tuple(wanted),
        tuple(feed(k, value, *kinds[k]) for k, value in feeds.items()),
        tuple(updates),
        tuple(losses),
        tuple(
            dataclasses.replace(one, shape=value.shape)
            for one, value in zip(variables, values, strict=True)
        ),
    )
    return program, values


def check(source: Source, keep: Iterable[str], *, trainable: bool) -> None:
    """Raises if an operation among those needed cannot be run."""
    nodes = [source.scope.nodes[name] for name in keep]
    functions = reached(nodes, source.functions)
    scopes = [
        (source.scope, nodes),
        *((one, list(one.nodes.values())) for one in functions.values()),
    ]
    refusing.check(refusing.refusals(scopes, source.functions))
    if trainable:
        refusing.check(refusing.custom_gradients(scopes))


def beside(
    source: Source, keep: Mapping[str, None], given: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Returns the updates and losses that belong to the outputs.

    An update does if it assigns to a variable of theirs, and a loss if it is
    computed from one. What needs a placeholder that is not given is of another
    part of the graph.
    """
    scope = source.scope
    own = {
        variable_name(scope.nodes[name])
        for name in keep
        if scope.nodes[name].op in VARIABLES
    }
    updates, losses = [], []
    for name in source.collections.updates:
        key = f"^{operation(name) if ':' in name else name}"
        more = closure([key], scope, given, keep)
        assigned = Assigned(source.functions, ())
        assigned.search(scope, only=more)
        if assigned.found & own and is_fed(more, scope, key):
            updates.append(key)
    for key in source.collections.losses:
        more = closure([key], scope, given, keep)
        if touches(more, scope, keep) and is_fed(more, scope, key):
            losses.append(key)
    return updates, losses


def is_fed(more: Iterable[str], scope: Scope, key: str) -> bool:
    """Tells whether operations need no placeholder, and says it if they do."""
    missing = [n for n in more if scope.nodes[n].op in PLACEHOLDERS]
    if missing:
        logging.warning(
            "TF1Graph leaves %r out: it needs the placeholder %r, which is "
            "neither in `inputs` nor in `feeds`.",
            operation(key),
            missing[0],
        )
    return not missing


def touches(
    more: Iterable[str], scope: Scope, keep: Mapping[str, None]
) -> bool:
    """Tells whether operations are computed from something of the outputs."""
    return any(
        operation(key) in keep and scope.node(key).op != "Const"
        for name in more
        for key in scope.nodes[name].inputs
    )


def variables_in(source: Source, keep: Iterable[str]) -> list[Variable]:
    """Returns the variables among some operations, in the graph's order."""
    wanted = set(keep)
    found: dict[str, Variable] = {}
    for node in source.scope.nodes.values():
        if node.name in wanted and node.op in VARIABLES:
            dtype = tf.as_dtype(node.proto.attr["dtype"].type)
            if not (
                dtype.is_floating
                or dtype.is_integer
                or dtype.is_bool
                or dtype.is_complex
            ):
                raise ValueError(
                    f"The variable {node.name!r} is of type {dtype.name}, "
                    "which no Keras variable can be."
                )
            shape = node.proto.attr["shape"].shape
            sizes = [-1] if shape.unknown_rank else [d.size for d in shape.dim]
            identity = variable_name(node)
            found.setdefault(
                identity,
                Variable(
                    node.name,
                    dtype.name,
                    tuple(sizes),
                    node.name in source.collections.trainable,
                    identity,
                ),
            )
    return list(found.values())


def feed(key: str, value: Any, dtype: tf.DType, shape: tf.TensorShape) -> Feed:
    """Returns what a user feeds, checked against the tensor."""
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2:
        raise ValueError(
            f"`feeds[{operation(key)!r}]` must be a value, or a tuple of the "
            f"one in training and the other one. Received: {value!r}"
        )
    arrays = []
    for one in both:
        try:
            array = (
                np.asarray(one).astype(
                    dtype.as_numpy_dtype, casting="same_kind"
                )
                if not isinstance(one, (bool, int, float))
                else np.asarray(one, dtype.as_numpy_dtype)
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`feeds[{operation(key)!r}]` must be of type {dtype.name}. "
                f"Received: {one!r}"
            ) from error
        if not shape.is_compatible_with(array.shape):
            raise ValueError(
                f"`feeds[{operation(key)!r}]` must be of shape {shape}. "
                f"Received: {one!r}"
            )
        arrays.append(array.tolist())
    return Feed(key, dtype.name, *arrays)
