"""Finds, opens and reads the files of a TensorFlow 1 checkpoint."""

import dataclasses
import os
import pathlib
import re
from typing import Any

import numpy as np
import tensorflow as tf

# The parts of one checkpoint, any of which may be named instead of the prefix.
PART = re.compile(r"\.index$|\.meta$|\.data-\d{5}-of-\d{5}$")
V1_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
V1_SHARDS = "-?????-of-?????"
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


def locate(path: pathlib.Path) -> pathlib.Path:
    """Returns the prefix, or the version 1 file, that a path means."""
    # "." has no name to which a suffix could be added.
    if not path.name or (path.is_dir() and not is_checkpoint(path)):
        return newest_in(path)
    if path.name == "checkpoint" and not is_version_2(path) and path.exists():
        return newest_in(path.parent)
    if is_checkpoint(path):
        return shards_of(path) or path
    prefix = path.with_name(PART.sub("", path.name) or path.name)
    # A `.meta` may lie beside files of either version.
    if prefix != path and is_checkpoint(prefix):
        return shards_of(prefix) or prefix
    beside = ", ".join(p.name for p in prefixes_in(path.parent)) or "none"
    raise FileNotFoundError(
        f"There is no TensorFlow 1 checkpoint at {path}. Give its prefix, as "
        f"in `folder/model.ckpt`, or its folder. Found in {path.parent}: "
        f"{beside}."
    )


def newest_in(folder: pathlib.Path) -> pathlib.Path:
    """Returns the prefix that a folder's `checkpoint` file names."""
    if (folder / "saved_model.pb").is_file():
        # A SavedModel of TensorFlow 1 keeps its variables in this format.
        return locate(folder / "variables" / "variables")
    found = prefixes_in(folder)
    names = ", ".join(p.name for p in found) or "none"
    if not (folder / "checkpoint").is_file():
        if len(found) == 1:
            return found[0]
        raise FileNotFoundError(
            f"The folder {folder} has no `checkpoint` file that tells which "
            f"checkpoint is meant. Give a prefix. Found: {names}."
        )
    named = named_by(folder)
    for candidate in candidates(folder, named):
        if is_checkpoint(candidate):
            return locate(candidate)
    raise FileNotFoundError(
        f"The file {folder / 'checkpoint'} names {named!r}, whose files are "
        f"not in its folder. Copy them there, or give a prefix. Found: {names}."
    )


def named_by(folder: pathlib.Path) -> str:
    """Returns what the `checkpoint` file of a folder says."""
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


def candidates(folder: pathlib.Path, named: str) -> list[pathlib.Path]:
    """Returns where the named files may lie, none of it outside the folder.

    The name is often an absolute path on the machine that wrote it, possibly
    with the separators of another system; its last part still holds.
    """
    found = [folder / re.split(r"[\\/]", named)[-1]]
    path = pathlib.Path(named)
    if path.is_relative_to(folder):
        found.insert(0, path)
    inside = folder.resolve()
    return [
        candidate
        for candidate in found
        if ".." not in candidate.relative_to(folder).parts
        and candidate != folder
        and candidate.parent.resolve().is_relative_to(inside)
    ]


def is_version_2(path: pathlib.Path) -> bool:
    """Tells whether the path is the prefix of a `.index` file."""
    return path.with_name(f"{path.name}.index").is_file()


def is_checkpoint(path: pathlib.Path) -> bool:
    """Tells whether the path is a prefix, or a file of the first version."""
    if is_version_2(path):
        return True
    if PART.search(path.name):
        return False
    return path.is_file() or shards_of(path) is not None


def shards_of(path: pathlib.Path) -> pathlib.Path | None:
    """Returns the pattern of version 1 files in several parts, if they are."""
    if is_version_2(path) or path.is_file() or not path.parent.is_dir():
        return None
    for entry in path.parent.iterdir():
        if V1_SHARD.sub("", entry.name) == path.name != entry.name:
            return path.with_name(f"{path.name}{V1_SHARDS}")
    return None


def prefixes_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the prefixes of the `.index` files in a folder."""
    return sorted(path.with_suffix("") for path in folder.glob("*.index"))


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
    """Returns an error's text without TensorFlow's own stack."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
