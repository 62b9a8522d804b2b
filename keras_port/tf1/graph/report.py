"""Reports what a TensorFlow 1 graph contains, without its code."""

import dataclasses
import os
from typing import NamedTuple

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1._files import show_path
from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import name_file_in_errors
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import read_graph_file
from keras_port.tf1.graph.read import variable_dtype
from keras_port.tf1.graph.select import Refusal
from keras_port.tf1.graph.select import find_functions
from keras_port.tf1.graph.select import find_needed
from keras_port.tf1.graph.select import find_parts
from keras_port.tf1.graph.select import find_refusals
from keras_port.tf1.graph.select import guess_outputs
from keras_port.tf1.graph.select import infer_specs
from keras_port.tf1.graph.select import is_internal
from keras_port.tf1.graph.select import prune_graph
from keras_port.tf1.graph.select import shape_as_tuple

PLACEHOLDERS = (*operations.PLACEHOLDERS, "PlaceholderWithDefault")


class Entry(NamedTuple):
    """A tensor or variable of a graph.

    Args:
        name: Its name.
        shape: Its shape, `None` if not even the number of axes is known.
        dtype: Name of its type.
        trainable: Whether TensorFlow 1 trained it, `None` if it is not a
            variable.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    trainable: bool | None = None

    def __str__(self) -> str:
        shape = "of unknown shape" if self.shape is None else self.shape
        state = {None: "", True: ", trained", False: ", not trained"}
        name = show_name(self.name)
        return f"{name} {shape} {self.dtype}{state[self.trainable]}"


@dataclasses.dataclass(frozen=True)
class GraphReport:
    """Tells what a `.meta` file contains, and what `GraphLayer` can make of it.

    Args:
        path: The file.
        placeholders: The placeholders, as records with `name`, `shape` and
            `dtype`.
        outputs: The likely predictions, as records of the same kind in the
            graph's order. They are a guess: tensors that are computed from
            variables, and that nothing but the training needs.
        variables: The variables, as records of the same kind that also have
            `trainable`.
        refused: The operations that `outputs` need and `GraphLayer` does not
            run, as records with `name`, `op`, `reason` and `fix`.
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
        lines = [f"{show_path(self.path)}: {self.operations:,} operations"]
        for title, entries in (
            ("placeholders", self.placeholders),
            ("likely outputs", self.outputs),
            ("variables", self.variables),
            ("refused", self.refused),
        ):
            lines.append(f"  {title}: {len(entries)}")
            lines += [f"    {entry}" for entry in entries]
        return "\n".join(lines)


def list_graph(path: str | os.PathLike[str]) -> GraphReport:
    """Lists what a TensorFlow 1 graph contains, without running any of it.

    Args:
        path: The `.meta` file, its prefix, or its folder.

    Returns:
        A `GraphReport`, which prints as text.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> report = list_graph("old/model.ckpt.meta")
    >>> [entry.name for entry in report.placeholders]
    ['images']
    """
    source = read_graph_file(path)
    scope = source.scope
    placeholders = [
        f"{node.name}:0"
        for node in scope.nodes.values()
        if node.op in PLACEHOLDERS and not is_internal(node)
    ]
    variables = [
        node for node in scope.nodes.values() if node.op in operations.VARIABLES
    ]
    with name_file_in_errors(source.path):
        outputs = guess_outputs(source)
        entries = make_entries(source, [*placeholders, *outputs])
        return GraphReport(
            str(source.path),
            tuple(entries[key] for key in placeholders),
            tuple(entries[key] for key in outputs),
            tuple(make_variable_entry(node, source) for node in variables),
            tuple(list_refusals(source, outputs, placeholders)),
            len(scope.nodes),
        )


def make_entries(source: GraphFile, keys: list[str]) -> dict[str, Entry]:
    """Returns the records of some tensors, by their keys."""
    names = find_needed(keys, source.scope, ())
    functions = find_functions(
        (source.scope.nodes[name] for name in names), source.functions
    )
    graph = prune_graph(source.meta.graph_def, names, (), functions)
    return {
        key: Entry(
            key.removesuffix(":0"), shape_as_tuple(spec.shape), spec.dtype.name
        )
        for key, spec in infer_specs(graph, keys).items()
    }


def make_variable_entry(node: Node, source: GraphFile) -> Entry:
    """Returns the record of a variable."""
    attributes = node.proto.attr
    return Entry(
        node.name,
        shape_as_tuple(tf.TensorShape(attributes["shape"].shape)),
        variable_dtype(node).name,
        node.name in source.collections.trainable,
    )


def list_refusals(
    source: GraphFile, outputs: list[str], placeholders: list[str]
) -> list[Refusal]:
    """Returns the refused operations that the outputs need."""
    names = find_needed(outputs, source.scope, placeholders)
    parts = find_parts(names, source.scope, source.functions)
    return find_refusals(parts, source.functions)
