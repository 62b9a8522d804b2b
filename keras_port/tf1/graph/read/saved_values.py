"""Reads the variables' values from a checkpoint, as its Saver would.

The operations of the Saver say under which key each variable was saved, and
which part of what is there it is. They are read, and never run.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1._files import CheckpointFile
from keras_port.tf1.graph.read.graph_collections import Collections
from keras_port.tf1.graph.read.names import nearest
from keras_port.tf1.graph.read.nodes import Node
from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import operation
from keras_port.tf1.graph.read.program import Variable

MetaGraphDef = Any
ASSIGNS = ("Assign", "AssignVariableOp")
THROUGH = ("Identity", "Reshape")
RESTORES = ("RestoreV2", "RestoreSlice", "Restore")
# "10 4 0,5:-": the shape of the whole, and of each axis "from,count" or all.
SLICE = re.compile(r"((?:\d+ )+)((?:-|\d+,\d+)(?::(?:-|\d+,\d+))*)")


@dataclasses.dataclass(frozen=True)
class Saved:
    """Where a variable's value lies in a checkpoint.

    Args:
        key: The key in the file.
        part: The slice of what is there, `()` for all of it.
    """

    key: str
    part: tuple[slice, ...] = ()


def saved_keys(
    meta: MetaGraphDef, scope: Scope, collections: Collections
) -> dict[str, Saved]:
    """Returns where the Saver of a graph has put each variable, by name."""
    found = {
        name: Saved(record.save_slice_info_def.full_name, sliced(record))
        for name, record in collections.known.items()
        if record.save_slice_info_def.full_name
    }
    constants = Constants(scope)
    stack, seen = [meta.saver_def.restore_op_name], set()
    while stack:
        name = stack.pop()
        node = scope.nodes.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        stack += node.controls
        if node.op in ASSIGNS and len(node.inputs) == 2:
            saved = restored_from(node.inputs[1], constants)
            if saved is not None:
                found[operation(node.inputs[0])] = saved
    return found


def sliced(record: Any) -> tuple[slice, ...]:
    """Returns the part that a record says a variable is."""
    info = record.save_slice_info_def
    return tuple(
        slice(start, start + count)
        for start, count in zip(info.var_offset, info.var_shape, strict=False)
    )


def restored_from(key: str, constants: "Constants") -> Saved | None:
    """Returns where the value comes from that a Saver assigns."""
    scope = constants.scope
    node = scope.nodes.get(operation(key))
    # The Saver of partitioned or resource variables puts these in between.
    while node is not None and node.op in THROUGH and node.inputs:
        key = node.inputs[0]
        before, node = node, scope.nodes.get(operation(key))
        if node is before:
            return None
    if node is None or node.op not in RESTORES:
        return None
    number = int(key.rpartition(":")[2])
    names = constants.texts(node, 1)
    parts = [] if node.op == "Restore" else constants.texts(node, 2)
    if number >= len(names):
        return None
    part = parts[number] if number < len(parts) else ""
    return Saved(names[number], parsed(part))


class Constants:
    """Reads lists of strings in a graph, each of them once.

    Args:
        scope: The graph.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._read: dict[str, list[str]] = {}

    def texts(self, node: Node, number: int) -> list[str]:
        """Returns the constant strings that are an input of an operation."""
        if number >= len(node.inputs):
            return []
        key = node.inputs[number]
        if key not in self._read:
            self._read[key] = self.read(self.scope.nodes.get(operation(key)))
        return self._read[key]

    def read(self, source: Node | None) -> list[str]:
        """Returns the strings of a constant, none if it is something else."""
        if source is None or source.op != "Const":
            return []
        values = tf.make_ndarray(source.proto.attr["value"].tensor).reshape(-1)
        return [
            one.decode("utf-8", "replace")
            for one in values
            if isinstance(one, bytes)
        ]


def parsed(text: str) -> tuple[slice, ...]:
    """Returns the slice that TensorFlow writes as a shape and its parts."""
    if not text:
        return ()
    match = SLICE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"The graph is broken: its Saver restores the slice {text!r}."
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
    places: Mapping[str, Saved],
    file: CheckpointFile,
) -> list[np.ndarray]:
    """Returns the value of each variable.

    Raises:
        ValueError: If one is not in the file, or has another shape there.
    """
    names = [one.name for one in variables]
    where = [places.get(name, Saved(name)) for name in names]
    missing = [
        f"{name!r}" + ("" if one.key == name else f" (saved as {one.key!r})")
        for name, one in zip(names, where, strict=True)
        if one.key not in file.shapes
    ]
    if missing:
        first = next(one.key for one in where if one.key not in file.shapes)
        raise ValueError(
            f"{file.prefix} holds no value for {', '.join(missing[:5])}"
            f"{' and others' if len(missing) > 5 else ''}, which the outputs "
            f"need. {nearest(first, file.shapes)} Give another `checkpoint`, "
            "or outputs that do without."
        )
    check_size(where, file)
    return [
        read_one(variable, one, file)
        for variable, one in zip(variables, where, strict=True)
    ]


def check_size(where: Sequence[Saved], file: CheckpointFile) -> None:
    """Raises if a file claims values that are larger than itself."""
    claimed = sum(
        math.prod(file.shapes[key]) * (tf.as_dtype(file.dtypes[key]).size or 1)
        for key in {one.key for one in where}
    )
    prefix = file.prefix
    files = [prefix, *prefix.parent.glob(f"{prefix.name}*")]
    there = sum(one.stat().st_size for one in files if one.is_file())
    if claimed > there:
        raise ValueError(
            f"{prefix} claims values of {claimed:,} bytes; its files hold "
            f"{there:,}. They are cut, or made to do harm: copy them again."
        )


def read_one(
    variable: Variable, saved: Saved, file: CheckpointFile
) -> np.ndarray:
    """Returns one value, checked."""
    value = file.read(saved.key)
    if saved.part:
        if len(saved.part) != value.ndim:
            raise ValueError(
                f"{file.prefix}: {saved.key!r} has the shape {value.shape}, "
                f"of which {variable.name!r} is no part."
            )
        value = value[saved.part]
    is_known = all(size >= 0 for size in variable.shape)
    if is_known and value.shape != variable.shape:
        raise ValueError(
            f"{file.prefix}: {saved.key!r} has the shape {value.shape}, the "
            f"variable {variable.name!r} of the graph {variable.shape}. Give "
            "the checkpoint that was saved with this `.meta`."
        )
    return value
