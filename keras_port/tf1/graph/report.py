"""Reports what a TensorFlow 1 graph contains, without its code."""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import os
from typing import NamedTuple

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1._file_kinds import GraphKind
from keras_port.tf1._files import show_path
from keras_port.tf1._slot_names import find_slot_owner
from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import has_variables
from keras_port.tf1.graph.read import list_weights
from keras_port.tf1.graph.read import name_file_in_errors
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import read_graph_file
from keras_port.tf1.graph.read import variable_dtype
from keras_port.tf1.graph.select import Refusal
from keras_port.tf1.graph.select import find_functions
from keras_port.tf1.graph.select import find_needed
from keras_port.tf1.graph.select import find_parts
from keras_port.tf1.graph.select import find_refusals
from keras_port.tf1.graph.select import find_sparse_names
from keras_port.tf1.graph.select import guess_outputs
from keras_port.tf1.graph.select import infer_specs
from keras_port.tf1.graph.select import list_data
from keras_port.tf1.graph.select import list_settings
from keras_port.tf1.graph.select import list_switches
from keras_port.tf1.graph.select import prune_graph
from keras_port.tf1.graph.select import shape_as_tuple

MAX_GUESSED = 100
MAX_OUTPUTS = 20
UNKNOWN = "unknown"
SLOT = "slot of "


class Entry(NamedTuple):
    """A tensor or variable of a graph.

    Args:
        name: Its name.
        shape: Its shape, `None` if not even the number of axes is known.
        dtype: Name of its type, `"unknown"` if the operation is not known.
        note: What else there is to say of it. Defaults to `""`.
        trainable: Whether TensorFlow 1 trained it, `None` if it is not a
            variable.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    note: str = ""
    trainable: bool | None = None

    def __str__(self) -> str:
        shape = "of unknown shape" if self.shape is None else self.shape
        state = {None: "", True: ", trained", False: ", not trained"}
        note = f", {self.note}" if self.note else ""
        name = show_name(self.name)
        return f"{name} {shape} {self.dtype}{note}{state[self.trainable]}"

    @property
    def is_slot(self) -> bool:
        """Whether it is a variable that an optimizer keeps for another one."""
        return self.note.startswith(SLOT)


@dataclasses.dataclass(frozen=True)
class GraphReport:
    """Tells what a file contains, and what `GraphLayer` can make of it.

    Args:
        path: The file.
        kind: `".meta file"`, `"frozen graph"`, `"graph without values"` or
            `"SavedModel"`.
        signatures: For every signature in the file, its inputs and its outputs:
            the names that the author gave, with the names of the tensors.
        inputs: What the graph reads data from, as records with `name`, `shape`
            and `dtype`: placeholders, and what comes out of queues, iterators
            and Python functions.
        settings: What decides how the graph computes, as records of the same
            kind: scalar placeholders, and variables that decide conditions.
            Give their values in `constants`.
        outputs: The likely predictions, as records of the same kind, the best
            guess first. They are those of the signatures, or tensors that are
            computed from data and variables and that a loss or a metric reads.
        variables: The variables, as records of the same kind that also have
            `trainable`. In a frozen graph these are the constants that
            `trainable` can make variables of.
        refused: The operations that `outputs` need and `GraphLayer` does not
            run, as records with `name`, `op`, `reason` and `fix`.
        operations: Number of operations.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> print(list_graph("old"))
    old/model.ckpt.meta: a .meta file, ... operations
      signatures: 1
        serving_default: images -> output
      inputs: 1
        images (None, 784) float32
      likely outputs: 1
        output (None, 10) float32
      variables: 3
        W (784, 10) float32, trained
        b (10,) float32, trained
        global_step () int64, not trained
    """

    path: str
    kind: GraphKind
    signatures: dict[str, tuple[dict[str, str], dict[str, str]]]
    inputs: tuple[Entry, ...]
    settings: tuple[Entry, ...]
    outputs: tuple[Entry, ...]
    variables: tuple[Entry, ...]
    refused: tuple[Refusal, ...]
    operations: int

    def __str__(self) -> str:
        lines = [
            f"{show_path(self.path)}: a {self.kind}, {self.operations:,} "
            "operations"
        ]
        signatures = [
            f"{show_name(name)}: {show_tensors(inputs)} -> "
            f"{show_tensors(outputs)}"
            for name, (inputs, outputs) in self.signatures.items()
        ]
        shown = [one for one in self.variables if not one.is_slot]
        slots = len(self.variables) - len(shown)
        weights = "constants" if self.kind == "frozen graph" else "variables"
        for title, entries in (
            ("signatures", signatures),
            ("inputs", self.inputs),
            ("settings", self.settings),
            ("likely outputs", self.outputs),
            (weights, shown),
            ("refused", self.refused),
        ):
            if entries or title in ("inputs", "likely outputs"):
                lines.append(f"  {title}: {len(entries)}")
                lines += [f"    {entry}" for entry in entries]
            if entries is shown and slots:
                lines.append(f"    and {slots} slots of an optimizer")
        if self.variables and not any(o.trainable for o in self.variables):
            lines.append(
                f"  none of the {weights} train; `trainable=[...]` chooses some"
            )
        return "\n".join(lines)


def list_graph(path: str | os.PathLike[str]) -> GraphReport:
    """Lists what a TensorFlow 1 graph contains, without running any of it.

    Args:
        path: A `.meta` file, its prefix, a frozen graph, a SavedModel, or the
            folder that holds one of them.

    Returns:
        A `GraphReport`, which prints as text.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken or of another kind.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> report = list_graph("old/model.ckpt.meta")
    >>> [entry.name for entry in report.inputs]
    ['images']
    """
    source = read_graph_file(path)
    scope = source.scope
    with name_file_in_errors(source.path):
        data, settings = list_data(scope), list_settings(scope)
        signed = list_signature_inputs(source)
        data += [key for key in signed if key not in {*data, *settings}]
        guessed = guess_outputs(source)[:MAX_GUESSED]
        entries = make_entries(source, [*data, *settings, *guessed])
        outputs = (
            guessed if source.signatures else choose_outputs(guessed, entries)
        )
        return GraphReport(
            str(source.path),
            source.kind,
            {
                name: (name_tensors(one.inputs), name_tensors(one.outputs))
                for name, one in source.signatures.items()
            },
            tuple(join_sparse_parts(data, entries, scope)),
            (
                *(entries[key] for key in settings),
                *(make_switch_entry(node) for node in list_switches(scope)),
            ),
            tuple(entries[key] for key in outputs),
            tuple(list_weight_entries(source)),
            tuple(list_refusals(source, outputs, [*data, *settings])),
            len(scope.nodes),
        )


def list_signature_inputs(source: GraphFile) -> list[str]:
    """Returns the keys of the inputs of all signatures."""
    return list(
        dict.fromkeys(
            key
            for signature in source.signatures.values()
            for keys in signature.inputs.values()
            for key in keys
        )
    )


def name_tensors(signed: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Returns the name of the tensor for every name in a signature."""
    return {
        name: ", ".join(key.removesuffix(":0") for key in keys)
        for name, keys in signed.items()
    }


def show_tensors(named: Mapping[str, str]) -> str:
    """Returns the names of a signature, with those of the tensors."""
    return ", ".join(
        show_name(name)
        if name == tensor
        else f"{show_name(name)} = {show_name(tensor)}"
        for name, tensor in named.items()
    )


def make_entries(source: GraphFile, keys: list[str]) -> dict[str, Entry]:
    """Returns the records of some tensors, by their keys."""
    names = find_needed(keys, source.scope, ())
    nodes = [source.scope.nodes[name] for name in names]
    functions = find_functions(nodes, source.functions)
    graph = prune_graph(source.meta.graph_def, names, (), functions)
    types = operations.describe_operations(node.op for node in nodes)
    known = [key for key in keys if source.scope.node(key).op in types]
    found = {
        key: Entry(
            key.removesuffix(":0"), shape_as_tuple(spec.shape), spec.dtype.name
        )
        for key, spec in infer_specs(graph, known).items()
    }
    return {
        key: found.get(key, Entry(key.removesuffix(":0"), None, UNKNOWN))
        for key in keys
    }


def join_sparse_parts(
    keys: list[str], entries: dict[str, Entry], scope: Scope
) -> list[Entry]:
    """Returns records of inputs, one for the three parts of a sparse one."""
    sparse = find_sparse_names(keys, scope)
    found = {}
    for key in keys:
        name = sparse.get(key)
        if name is None:
            found[key] = entries[key]
            continue
        indices = entries.get(f"{name}/indices:0")
        values = entries.get(f"{name}/values:0")
        axes = indices.shape[1] if indices and indices.shape else None
        found[name] = Entry(
            name,
            None if axes is None else (None,) * axes,
            UNKNOWN if values is None else values.dtype,
            "sparse",
        )
    return list(found.values())


def choose_outputs(keys: list[str], entries: dict[str, Entry]) -> list[str]:
    """Returns the likely outputs, without sizes, positions and losses."""
    found = [key for key in keys if may_be_output(entries[key])]
    larger = [key for key in found if entries[key].shape != ()]
    return (larger or found)[:MAX_OUTPUTS]


def may_be_output(entry: Entry) -> bool:
    """Returns whether a tensor is more than a size or a position."""
    if entry.dtype == "bool":
        return False
    is_whole = "int" in entry.dtype
    return not (is_whole and entry.shape is not None and len(entry.shape) < 2)


def make_switch_entry(node: Node) -> Entry:
    """Returns the record of a variable that decides conditions."""
    return Entry(node.name, (), "bool", "a variable that decides conditions")


def list_weight_entries(source: GraphFile) -> Iterator[Entry]:
    """Yields the records of the variables, or of a frozen graph's constants."""
    nodes = source.scope.nodes
    if not has_variables(source):
        for name in list_weights(source):
            tensor = nodes[name].proto.attr["value"].tensor
            shape = tf.TensorShape(tensor.tensor_shape)
            dtype = tf.as_dtype(tensor.dtype).name
            yield Entry(name, shape_as_tuple(shape), dtype)
        return
    found: dict[str, Entry] = {}
    for node in nodes.values():
        if node.op in operations.VARIABLES:
            shape = tf.TensorShape(node.proto.attr["shape"].shape)
            trained = node.name in source.collections.trainable
            found[node.name] = Entry(
                node.name,
                shape_as_tuple(shape),
                variable_dtype(node).name,
                trainable=trained,
            )
    shapes = {name: one.shape for name, one in found.items()}
    dtypes = {name: one.dtype for name, one in found.items()}
    for name, one in found.items():
        owner = find_slot_owner(name, shapes, dtypes)
        yield one._replace(note=f"{SLOT}{owner}") if owner else one


def list_refusals(
    source: GraphFile, outputs: list[str], given: list[str]
) -> list[Refusal]:
    """Returns the refused operations that the outputs need."""
    names = find_needed(outputs, source.scope, given)
    parts = find_parts(names, source.scope, source.functions)
    return find_refusals(parts, source.functions)
