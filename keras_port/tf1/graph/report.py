"""What a TensorFlow 1 graph holds, for someone who has lost its code."""

import dataclasses
import os
from typing import NamedTuple

import tensorflow as tf

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1.graph.read import PLACEHOLDERS
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import Source
from keras_port.tf1.graph.read import read_source
from keras_port.tf1.graph.read import told_of
from keras_port.tf1.graph.select import Refusal
from keras_port.tf1.graph.select import as_tuple
from keras_port.tf1.graph.select import closure
from keras_port.tf1.graph.select import inferred
from keras_port.tf1.graph.select import is_service
from keras_port.tf1.graph.select import likely_outputs
from keras_port.tf1.graph.select import pruned
from keras_port.tf1.graph.select import reached
from keras_port.tf1.graph.select import refusals

FED = (*PLACEHOLDERS, "PlaceholderWithDefault")


class Entry(NamedTuple):
    """A tensor or variable: its name, its shape and its type."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    trainable: bool | None = None

    def __str__(self) -> str:
        shape = "of unknown shape" if self.shape is None else self.shape
        state = {None: "", True: ", trained", False: ", not trained"}
        return f"{self.name} {shape} {self.dtype}{state[self.trainable]}"


@dataclasses.dataclass(frozen=True)
class GraphReport:
    """Tells what a `.meta` file holds, and what of it a layer may be made of.

    Args:
        path: The file.
        placeholders: What is fed: records with `name`, `shape` and `dtype`.
        outputs: What is likely to be a prediction, in the graph's order:
            records of the same kind. It is a guess, by what is computed from
            variables and not needed for anything but the training.
        variables: Records of the same kind, with `trainable` besides.
        refused: Operations that `GraphLayer` does not run, as records with
            `name`, `op` and `reason`, if the outputs above need them.
        operations: Number of operations.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> print(list_graph("old"))
    old/model.ckpt.meta: ... operations
      placeholders: 1
        images (None, 784) float32
      likely outputs: 1
        output (None, 10) float32
      variables: 3
        W (784, 10) float32, trained
        b (10,) float32, trained
        global_step () int64, not trained
      refused: 0
    """

    path: str
    placeholders: tuple[Entry, ...]
    outputs: tuple[Entry, ...]
    variables: tuple[Entry, ...]
    refused: tuple[Refusal, ...]
    operations: int

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.operations:,} operations"]
        for title, entries in (
            ("placeholders", self.placeholders),
            ("likely outputs", self.outputs),
            ("variables", self.variables),
            ("refused", self.refused),
        ):
            lines.append(f"  {title}: {len(entries)}")
            lines += [f"    {entry}" for entry in entries]
        return "\n".join(lines)


def list_graph(meta_path: str | os.PathLike[str]) -> GraphReport:
    """Lists what a TensorFlow 1 graph holds, without running any of it.

    Args:
        meta_path: The `.meta` file, its prefix, or its folder.

    Returns:
        A `GraphReport`, which prints as text.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> listing = list_graph("old/model.ckpt.meta")
    >>> [entry.name for entry in listing.placeholders]
    ['images']
    """
    source = read_source(meta_path)
    scope = source.scope
    fed = [
        f"{node.name}:0"
        for node in scope.nodes.values()
        if node.op in FED and not is_service(node)
    ]
    variables = [n for n in scope.nodes.values() if n.op in VARIABLE_OPS]
    with told_of(source.path):
        outputs = likely_outputs(source.meta, scope)
        kinds = known_kinds(source, [*fed, *outputs])
        return GraphReport(
            str(source.path),
            tuple(entry(key, kinds) for key in fed),
            tuple(entry(key, kinds) for key in outputs),
            tuple(variable_entry(node, source) for node in variables),
            tuple(refused_for(source, outputs, fed)),
            len(scope.nodes),
        )


Kinds = dict[str, tuple[str, tuple[int | None, ...] | None]]


def known_kinds(source: Source, keys: list[str]) -> Kinds:
    """Returns type and shape of some tensors."""
    keep = closure(keys, source.scope, ())
    functions = reached(
        (source.scope.nodes[name] for name in keep), source.functions
    )
    graph = pruned(source.meta.graph_def, keep, (), functions)
    return {
        key: (dtype.name, as_tuple(shape))
        for key, (dtype, shape) in inferred(graph, keys).items()
    }


def entry(key: str, kinds: Kinds) -> Entry:
    """Returns the record of a tensor, its name as short as it may be."""
    dtype, shape = kinds[key]
    return Entry(key.removesuffix(":0"), shape, dtype)


def variable_entry(node: Node, source: Source) -> Entry:
    """Returns the record of a variable."""
    attributes = node.proto.attr
    return Entry(
        node.name,
        as_tuple(tf.TensorShape(attributes["shape"].shape)),
        tf.as_dtype(attributes["dtype"].type).base_dtype.name,
        node.name in source.collections.trainable,
    )


def refused_for(
    source: Source, outputs: list[str], fed: list[str]
) -> list[Refusal]:
    """Returns what is refused of what some outputs need."""
    keep = closure(outputs, source.scope, fed)
    nodes = [source.scope.nodes[name] for name in keep]
    functions = reached(nodes, source.functions)
    scopes: list[tuple[Scope, list[Node]]] = [(source.scope, nodes)]
    scopes += [(one, list(one.nodes.values())) for one in functions.values()]
    return refusals.refusals(scopes, source.functions)
