"""Finds, opens and reads the files of a TensorFlow 1 checkpoint."""

import dataclasses
import os
import pathlib
import re
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_port._support import local_path

# The files of one checkpoint. A user may name any of them, not the prefix.
FILE_SUFFIX = re.compile(r"\.index$|\.meta$|\.data-\d{5}-of-\d{5}$")
# Operations of a TensorFlow 1 graph that hold a variable.
VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")
_V1_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_V1_SHARDS = "-?????-of-?????"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What TensorFlow's reader raises for files that are broken or of another kind.
_READ_ERRORS = (tf.errors.OpError, IndexError, RuntimeError, ValueError)
_OTHER_KINDS = {
    b"PK": "a `.keras` or other zip file; use `keras.saving.load_model`",
    b"\x89HDF": "an HDF5 file; use `model.load_weights`",
}


class _Reader(Protocol):
    """The part of TensorFlow's checkpoint reader that is used here."""

    def get_tensor(self, name: str) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class CheckpointFile:
    """An open checkpoint: lists its variables and reads values on request.

    Args:
        prefix: The name that its files share.
        shapes: Shape of every variable, by name.
        dtypes: Name of the dtype of every variable, by name.
        reader: TensorFlow's reader.
    """

    prefix: pathlib.Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    reader: _Reader = dataclasses.field(repr=False)

    def read(self, name: str) -> np.ndarray:
        """Reads the value of one variable and verifies its checksum."""
        try:
            return np.asarray(self.reader.get_tensor(name))
        except _READ_ERRORS as error:
            raise ValueError(
                f"{self.prefix}: the value of {name!r} cannot be read: "
                f"{first_line(error)}. The files are truncated, belong to two "
                "different saves, or a `.data` file is missing. Copy all files "
                "with this prefix again."
            ) from error


def open_checkpoint(
    path: str | os.PathLike[str], argument: str = "path"
) -> CheckpointFile:
    """Opens the checkpoint at a path without reading any value.

    Args:
        path: The prefix, one of the files, or the folder.
        argument: Name of the caller's argument. Defaults to `"path"`.

    Raises:
        FileNotFoundError: If there is no checkpoint at `path`.
        ValueError: If the file is not a TensorFlow 1 checkpoint, or `path` is
            empty or a bucket such as `gs://`.
    """
    prefix = locate_checkpoint(local_path(argument, path))
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(os.fspath(prefix))
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
    except _READ_ERRORS as error:
        raise ValueError(
            f"{prefix} is not a complete TensorFlow 1 checkpoint, it is "
            f"{_describe_file(prefix, error)}."
        ) from error
    if _OBJECT_GRAPH in shapes:
        raise ValueError(
            f"{prefix} is a checkpoint of TensorFlow 2 objects, which has no "
            "TensorFlow 1 names. Read it with `tf.train.Checkpoint(...)"
            ".restore(...)` or `keras.saving.load_model`."
        )
    return CheckpointFile(
        prefix,
        {name: tuple(shape) for name, shape in shapes.items()},
        {name: dtype.base_dtype.name for name, dtype in dtypes.items()},
        reader,
    )


def locate_checkpoint(path: pathlib.Path) -> pathlib.Path:
    """Returns the checkpoint's prefix, or its file if it is of version 1.

    Args:
        path: The prefix, one of the files, or the folder.

    Raises:
        FileNotFoundError: If there is no checkpoint at `path`.
        ValueError: If the folder's `checkpoint` file is not a list of
            checkpoints.
    """
    # "." has no name to which a suffix could be added.
    if not path.name or (path.is_dir() and not _is_checkpoint(path)):
        return _locate_newest(path)
    if path.name == "checkpoint" and not _is_version_2(path) and path.exists():
        return _locate_newest(path.parent)
    if _is_checkpoint(path):
        return _find_v1_shards(path) or path
    prefix = path.with_name(FILE_SUFFIX.sub("", path.name) or path.name)
    # A `.meta` may stand next to files of either version.
    if prefix != path and _is_checkpoint(prefix):
        return _find_v1_shards(prefix) or prefix
    names = _list_prefixes(path.parent)
    raise FileNotFoundError(
        f"There is no TensorFlow 1 checkpoint at {path}. Give its prefix, such "
        f"as `folder/model.ckpt`, or its folder. Found in {path.parent}: "
        f"{names}."
    )


def read_creation_order(prefix: pathlib.Path) -> list[str]:
    """Returns the variables in the order in which the program made them.

    A checkpoint itself is sorted by name. The order is that of the graph in
    the `.meta` file; without a readable one the list is empty.
    """
    try:
        name = prefix.name.removesuffix(_V1_SHARDS)
        content = prefix.with_name(f"{name}.meta").read_bytes()
        graph = tf.compat.v1.MetaGraphDef.FromString(content).graph_def
    # protobuf's DecodeError has no types and no closer public base class.
    except Exception:  # noqa: BLE001
        return []
    return [node.name for node in graph.node if node.op in VARIABLE_OPS]


def first_line(error: Exception) -> str:
    """Returns the first line of an error, without TensorFlow's own stacks."""
    text = str(error)
    # An error of a session starts with the place that made the operation.
    if "\nNode: " in text:
        text = text.rpartition("\nNode: ")[2].partition("\n")[2]
    return (text.strip().splitlines() or [type(error).__name__])[0]


def _describe_file(prefix: pathlib.Path, error: Exception) -> str:
    """Says what a file that cannot be opened seems to be."""
    if prefix.is_file():
        with open(prefix, "rb") as file:
            start = file.read(4)
        for magic, kind in _OTHER_KINDS.items():
            if start.startswith(magic):
                return kind
        if prefix.suffix in (".pb", ".pbtxt"):
            return "a graph without a checkpoint, such as a frozen graph"
    return (
        f"truncated or something else: {first_line(error)}. Copy it again, or "
        "give the prefix of a checkpoint"
    )


def _locate_newest(folder: pathlib.Path) -> pathlib.Path:
    """Returns the prefix that a folder's `checkpoint` file names."""
    if (folder / "saved_model.pb").is_file():
        # A SavedModel of TensorFlow 1 keeps its variables in this format.
        return locate_checkpoint(folder / "variables" / "variables")
    names = _list_prefixes(folder)
    if not (folder / "checkpoint").is_file():
        found = _find_prefixes(folder)
        if len(found) == 1:
            return found[0]
        raise FileNotFoundError(
            f"The folder {folder} has no `checkpoint` file that says which "
            f"checkpoint is meant. Give a prefix. Found: {names}."
        )
    named = _read_newest_name(folder)
    for candidate in _candidates(folder, named):
        if _is_checkpoint(candidate):
            return locate_checkpoint(candidate)
    raise FileNotFoundError(
        f"The file {folder / 'checkpoint'} names {named!r}, whose files are "
        f"not in its folder. Copy them there, or give a prefix. Found: {names}."
    )


def _read_newest_name(folder: pathlib.Path) -> str:
    """Returns the checkpoint that the `checkpoint` file of a folder names."""
    try:
        state = tf.train.get_checkpoint_state(os.fspath(folder))
    except (tf.errors.OpError, ValueError):
        state = None
    if state is None:
        raise ValueError(
            f"The file {folder / 'checkpoint'} is not the list that a "
            "TensorFlow Saver writes. Give a prefix instead of the folder."
        )
    named: str = state.model_checkpoint_path
    return named


def _candidates(folder: pathlib.Path, named: str) -> list[pathlib.Path]:
    """Returns where the named files may be, always inside the folder.

    The name is often an absolute path on the machine that wrote it, possibly
    with the separators of another system. Its last part still holds.
    """
    found = [folder / re.split(r"[\\/]", named)[-1]]
    path = pathlib.Path(named)
    if path.is_relative_to(folder):
        found.insert(0, path)
    inside = folder.resolve()
    return [
        candidate
        for candidate in found
        if candidate != folder
        and candidate.parent.resolve().is_relative_to(inside)
    ]


def _is_version_2(path: pathlib.Path) -> bool:
    """Returns whether the path is the prefix of a `.index` file."""
    return path.with_name(f"{path.name}.index").is_file()


def _is_checkpoint(path: pathlib.Path) -> bool:
    """Returns whether the path is a prefix, or a file of version 1."""
    if _is_version_2(path):
        return True
    if FILE_SUFFIX.search(path.name):
        return False
    return path.is_file() or _find_v1_shards(path) is not None


def _find_v1_shards(path: pathlib.Path) -> pathlib.Path | None:
    """Returns the pattern of a version 1 checkpoint in several files."""
    if _is_version_2(path) or path.is_file() or not path.parent.is_dir():
        return None
    for entry in path.parent.iterdir():
        if _V1_SHARD.sub("", entry.name) == path.name != entry.name:
            return path.with_name(f"{path.name}{_V1_SHARDS}")
    return None


def _find_prefixes(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the prefixes of the `.index` files in a folder."""
    return sorted(path.with_suffix("") for path in folder.glob("*.index"))


def _list_prefixes(folder: pathlib.Path) -> str:
    """Returns the names of a folder's checkpoints for an error message."""
    return ", ".join(path.name for path in _find_prefixes(folder)) or "none"
