"""Opens and reads the files of a TensorFlow 1 checkpoint."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1.checkpoint.paths import V1_SHARDS
from keras_port.tf1.checkpoint.paths import locate

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")
# What TensorFlow's reader raises on files that are broken or something else.
READ_ERRORS = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
FOREIGN = {
    b"PK": "a `.keras` or other zip file; use `keras.saving.load_model`",
    b"\x89HDF": "an HDF5 file; use `model.load_weights`",
}


@dataclasses.dataclass(frozen=True)
class CheckpointFile:
    """An opened checkpoint: what it holds, and the values when asked for.

    Args:
        prefix: The name that its files share.
        shapes: Shape of each variable, by name.
        dtypes: Name of the dtype of each variable, by name.
        reader: TensorFlow's reader.
    """

    prefix: pathlib.Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    reader: Any = dataclasses.field(repr=False)

    def read(self, name: str) -> np.ndarray:
        """Returns one variable's value, checked against its checksum."""
        try:
            return np.asarray(self.reader.get_tensor(name))
        except READ_ERRORS as error:
            raise ValueError(
                f"{self.prefix}: the value of {name!r} cannot be read: "
                f"{first_line(error)}. The files are cut, mixed from two "
                "saves, or one `.data` file is missing: copy them again, all "
                "with the same prefix."
            ) from error


def open_checkpoint(path: str | os.PathLike[str]) -> CheckpointFile:
    """Opens the checkpoint that a path means, without reading its values.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If what is there is no TensorFlow 1 checkpoint.
    """
    prefix = locate(pathlib.Path(path))
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(os.fspath(prefix))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
    except READ_ERRORS as error:
        raise ValueError(
            f"{prefix} is not a whole TensorFlow 1 checkpoint, it is "
            f"{foreign_kind(prefix, error)}."
        ) from error
    if OBJECT_GRAPH in shapes:
        raise ValueError(
            f"{prefix} is a checkpoint of TensorFlow 2 objects, which carry "
            "no TensorFlow 1 names. Read it by `tf.train.Checkpoint(...)"
            ".restore(...)` or `keras.saving.load_model`."
        )
    return CheckpointFile(
        prefix,
        {name: tuple(shape) for name, shape in shapes.items()},
        {name: dtype.base_dtype.name for name, dtype in dtypes.items()},
        reader,
    )


def creation_order(prefix: pathlib.Path) -> list[str]:
    """Returns the variables in the order the program made them.

    A checkpoint itself is sorted by name. The order is that of the graph in
    the `.meta` file; without a readable one the list is empty.
    """
    try:
        name = prefix.name.removesuffix(V1_SHARDS)
        content = prefix.with_name(f"{name}.meta").read_bytes()
        graph = tf.compat.v1.MetaGraphDef.FromString(content).graph_def
    # protobuf's DecodeError has no types and no nearer public base.
    except Exception:  # noqa: BLE001
        return []
    return [node.name for node in graph.node if node.op in VARIABLE_OPS]


def foreign_kind(prefix: pathlib.Path, error: Exception) -> str:
    """Says what a file that cannot be opened seems to be."""
    if prefix.is_file():
        with open(prefix, "rb") as file:
            start = file.read(4)
        for magic, kind in FOREIGN.items():
            if start.startswith(magic):
                return kind
    return (
        f"cut or something else: {first_line(error)}. Copy it again, or give "
        "the prefix of a checkpoint"
    )


def first_line(error: Exception) -> str:
    """Returns an error's text without TensorFlow's own stacks."""
    text = str(error)
    # An error of a session begins with where the operation was made.
    if "\nNode: " in text:
        text = text.rpartition("\nNode: ")[2].partition("\n")[2]
    return (text.strip().splitlines() or [type(error).__name__])[0]
