"""Reads the values of the variables from a checkpoint, as its Saver would.

The Saver's operations say under which key each variable was saved, and which
slice of the stored value it is. They are read and never run.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
import re
from typing import NoReturn

from absl import logging
import numpy as np
import tensorflow as tf

from keras_port.tf1._files import CheckpointFile
from keras_port.tf1._files import show_path
from keras_port.tf1.graph.read.graph_collections import Collections
from keras_port.tf1.graph.read.graph_file import GraphFile
from keras_port.tf1.graph.read.initial_values import ASSIGNS
from keras_port.tf1.graph.read.initial_values import find_initial_value
from keras_port.tf1.graph.read.nodes import Node
from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import operation_name
from keras_port.tf1.graph.read.nodes import suggest_names
from keras_port.tf1.graph.read.program import Variable
from keras_port.tf1.graph.read.protos import MetaGraphDef
from keras_port.tf1.graph.read.protos import VariableDef

MAX_SHOWN = 5
# The Saver of partitioned or resource variables puts these in between.
COPIES = ("Identity", "Reshape")
RESTORES = ("RestoreV2", "RestoreSlice", "Restore")
# "10 4 0,5:-": the shape of the whole, then "start,count" or "-" per axis.
SLICE = re.compile(r"((?:\d+ )+)((?:-|\d+,\d+)(?::(?:-|\d+,\d+))*)")


@dataclasses.dataclass(frozen=True)
class SavedValue:
    """Where a checkpoint holds the value of a variable.

    Args:
        key: Key in the checkpoint.
        part: Slice of the stored value, `()` for all of it.
    """

    key: str
    part: tuple[slice, ...] = ()


def find_saved_values(
    meta: MetaGraphDef, scope: Scope, collections: Collections
) -> dict[str, SavedValue]:
    """Returns where the graph's Saver stores every variable, by its name."""
    found = {
        name: SavedValue(record.save_slice_info_def.full_name, get_part(record))
        for name, record in collections.variables.items()
        if record.save_slice_info_def.full_name
    }
    constants = StringConstants(scope)
    stack, seen = [meta.saver_def.restore_op_name], set()
    while stack:
        name = stack.pop()
        node = scope.nodes.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        stack += node.controls
        if node.op in ASSIGNS and len(node.inputs) == 2:
            saved = trace_restore(node.inputs[1], constants)
            if saved is not None:
                found[operation_name(node.inputs[0])] = saved
    return found


def get_part(record: VariableDef) -> tuple[slice, ...]:
    """Returns the slice of the stored value that a record names."""
    info = record.save_slice_info_def
    return tuple(
        slice(start, start + count)
        for start, count in zip(info.var_offset, info.var_shape, strict=False)
    )


class StringConstants:
    """Reads the lists of strings in a graph, every list once.

    Args:
        scope: The graph.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._lists: dict[str, list[str]] = {}

    def read_input(self, node: Node, number: int) -> list[str]:
        """Returns the constant strings that are an input of an operation."""
        if number >= len(node.inputs):
            return []
        key = node.inputs[number]
        if key not in self._lists:
            self._lists[key] = self._read(
                self.scope.nodes.get(operation_name(key))
            )
        return self._lists[key]

    def _read(self, source: Node | None) -> list[str]:
        """Returns the strings of a constant, or nothing for anything else."""
        if source is None or source.op != "Const":
            return []
        values = tf.make_ndarray(source.proto.attr["value"].tensor).reshape(-1)
        return [
            one.decode("utf-8", "replace")
            for one in values
            if isinstance(one, bytes)
        ]


def trace_restore(key: str, constants: StringConstants) -> SavedValue | None:
    """Returns where the Saver reads a value that it assigns."""
    scope = constants.scope
    node = scope.nodes.get(operation_name(key))
    while node is not None and node.op in COPIES and node.inputs:
        key = node.inputs[0]
        before, node = node, scope.nodes.get(operation_name(key))
        if node is before:
            return None
    if node is None or node.op not in RESTORES:
        return None
    number = int(key.rpartition(":")[2])
    names = constants.read_input(node, 1)
    parts = [] if node.op == "Restore" else constants.read_input(node, 2)
    if number >= len(names):
        return None
    part = parts[number] if number < len(parts) else ""
    return SavedValue(names[number], parse_part(part))


def parse_part(text: str) -> tuple[slice, ...]:
    """Returns the slice that TensorFlow writes as `"10 4 0,5:-"`."""
    if not text:
        return ()
    match = SLICE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"The graph is broken: its Saver restores the slice {text!r}; "
            "expected a shape and a range for every axis, such as '10 4 0,5:-'."
        )
    parts = []
    for one in match[2].split(":"):
        start, _, count = one.partition(",")
        parts.append(
            slice(None)
            if one == "-"
            else slice(int(start), int(start) + int(count))
        )
    return tuple(parts)


def read_values(
    variables: Sequence[Variable],
    source: GraphFile,
    file: CheckpointFile,
) -> dict[str, np.ndarray]:
    """Returns the value of every variable, by name.

    A variable that the Saver has left out gets its initial value, if that is a
    constant in the graph.

    Args:
        variables: The variables.
        source: The graph.
        file: The checkpoint.

    Raises:
        ValueError: If a value is missing in the file or has another shape.
    """
    saved = find_saved_values(source.meta, source.scope, source.collections)
    where = {
        one.name: saved.get(one.name, SavedValue(one.name)) for one in variables
    }
    missing = {n: one for n, one in where.items() if one.key not in file.shapes}
    initial = {
        name: find_initial_value(
            name, source.scope, source.collections.variables
        )
        for name in missing
    }
    values = {name: one for name, one in initial.items() if one is not None}
    if len(values) < len(missing):
        raise_missing({n: missing[n] for n in missing if n not in values}, file)
    if values:
        logging.warning(
            "%s holds no value for %s: their initial values are taken.",
            show_path(file.prefix),
            ", ".join(map(repr, list(values)[:MAX_SHOWN])),
        )
    there = {n: one for n, one in where.items() if n not in missing}
    check_size(list(there.values()), file)
    for variable in variables:
        if variable.name in there:
            values[variable.name] = read_value(
                variable, there[variable.name], file
            )
    return values


def raise_missing(
    missing: Mapping[str, SavedValue], file: CheckpointFile
) -> NoReturn:
    """Raises an error that names the variables without a value."""
    names = [
        f"{name!r}" + ("" if one.key == name else f" (saved as {one.key!r})")
        for name, one in missing.items()
    ]
    first = next(iter(missing))
    near = suggest_names(missing[first].key, file.shapes, "list_variables")
    raise ValueError(
        f"{show_path(file.prefix)} holds no value for "
        f"{', '.join(names[:MAX_SHOWN])}"
        f"{' and others' if len(names) > MAX_SHOWN else ''}, which the outputs "
        f"need. {near} Give another `checkpoint`, or outputs that do not need "
        "these variables, or values of your own, as in "
        f"`constants={{{first!r}: np.zeros(...)}}`."
    )


def check_size(where: Sequence[SavedValue], file: CheckpointFile) -> None:
    """Raises an error if the values claim more bytes than the files have."""
    for one in where:
        file.check_value(one.key)
    claimed = sum(
        math.prod(file.shapes[key]) * (tf.as_dtype(file.dtypes[key]).size or 1)
        for key in {one.key for one in where}
    )
    there = file.count_bytes()
    if claimed > there:
        raise ValueError(
            f"{show_path(file.prefix)} claims values of {claimed:,} bytes; its "
            f"files hold {there:,}. They are cut or malicious: copy them again."
        )


def read_value(
    variable: Variable, saved: SavedValue, file: CheckpointFile
) -> np.ndarray:
    """Returns one value, with its shape checked."""
    value = file.read(saved.key)
    if saved.part:
        if len(saved.part) != value.ndim:
            raise ValueError(
                f"{show_path(file.prefix)}: {saved.key!r} has the shape "
                f"{value.shape}, "
                f"so {variable.name!r} cannot be a slice of it with "
                f"{len(saved.part)} axes."
            )
        value = value[saved.part]
    is_known = all(size >= 0 for size in variable.shape)
    if is_known and value.shape != variable.shape:
        raise ValueError(
            f"{show_path(file.prefix)}: {saved.key!r} has the shape "
            f"{value.shape}, but "
            f"the variable {variable.name!r} of the graph has {variable.shape}."
            " Give the checkpoint that was saved with this `.meta` file."
        )
    return value
