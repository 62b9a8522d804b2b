"""Finds, opens and reads the files of a TensorFlow 1 checkpoint."""

import dataclasses
import os
import pathlib
import re
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port._support import PointerError
from keras_port._support import local_path
from keras_port._support import open_file
from keras_port._support import read_file
from keras_port._support import show_name
from keras_port.tf1._file_kinds import MAX_META_BYTES as MAX_META_BYTES
from keras_port.tf1._file_kinds import VARIABLE_OPS as VARIABLE_OPS
from keras_port.tf1._file_kinds import describe_kind
from keras_port.tf1._file_kinds import find_message
from keras_port.tf1._index_file import IndexFile
from keras_port.tf1._index_file import add_suffix
from keras_port.tf1._index_file import is_stemless
from keras_port.tf1._index_file import read_index

# The files of one checkpoint. A user may name any of them, not the prefix.
FILE_SUFFIX = re.compile(r"\.index$|\.meta$|\.data-\d{5}-of-\d{5}$")
_V1_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_V1_SHARDS = "-?????-of-?????"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# What TensorFlow's reader raises for files that are broken or of another kind.
_READ_ERRORS = (
    tf.errors.OpError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# A `checkpoint` file has a line for every checkpoint that was kept.
_MAX_LIST_BYTES = 1 << 24


class _Reader:
    """TensorFlow's reader, which is made again after an error.

    The next use of a reader that could not read a part of a variable ends the
    process.

    Args:
        prefix: Prefix of the checkpoint.
    """

    def __init__(self, prefix: pathlib.Path) -> None:
        self._prefix = prefix
        self._reader: Any = None

    def get_tensor(self, name: str) -> np.ndarray:
        """Returns the value of one variable."""
        reader = self._take()
        value = np.asarray(reader.get_tensor(name))
        self._reader = reader
        return value

    def list_variables(
        self,
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
        """Returns the shapes and the names of the types of all variables."""
        reader = self._take()
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()
        self._reader = reader
        return (
            {name: tuple(shape) for name, shape in shapes.items()},
            {name: dtype.base_dtype.name for name, dtype in dtypes.items()},
        )

    def _take(self) -> Any:
        """Returns a reader, which nothing else uses until it has worked."""
        reader, self._reader = self._reader, None
        if reader is None:
            # TensorFlow adds the suffixes to the text as it is.
            end = os.sep if is_stemless(self._prefix) else ""
            reader = tf.compat.v1.train.NewCheckpointReader(
                f"{self._prefix}{end}"
            )
        return reader


@dataclasses.dataclass(frozen=True)
class CheckpointFile:
    """An open checkpoint: lists its variables and reads values on request.

    Args:
        prefix: The name that its files share.
        shapes: Shape of every variable, by name.
        dtypes: Name of the dtype of every variable, by name.
        reader: TensorFlow's reader.
        index: The entries of the `.index` file; `None` for version 1.
    """

    prefix: pathlib.Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    reader: _Reader = dataclasses.field(repr=False)
    index: IndexFile | None = dataclasses.field(repr=False, default=None)

    def read(self, name: str) -> np.ndarray:
        """Reads the value of one variable and verifies its checksum.

        Raises:
            FileNotFoundError: If its `.data` file is missing.
            ValueError: If it cannot be read.
        """
        try:
            self.check_value(name)
            return self.reader.get_tensor(name)
        except (FileNotFoundError, PointerError):
            raise
        except _READ_ERRORS as error:
            raise ValueError(
                f"{show_path(self.prefix)}: the value of {name!r} cannot be "
                "read: "
                f"{first_line(error)}. The files are truncated or belong to "
                "two different saves. Copy all files with this prefix again."
            ) from error

    def check_value(self, name: str) -> None:
        """Checks that the `.data` files can hold a value, as `IndexFile`."""
        if self.index is not None:
            self.index.check_value(name)

    def count_bytes(self) -> int:
        """Returns the size of all files of the checkpoint together."""
        folder, start = self.prefix.parent, self.prefix.name
        if is_stemless(self.prefix):
            folder, start = self.prefix, "."
        # The pattern of version 1's files has wildcards of its own.
        files = {folder / start, *folder.glob(f"{start}*")}
        return sum(path.stat().st_size for path in files if path.is_file())


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
        index = _check_files(prefix)
        reader = _Reader(prefix)
        shapes, dtypes = reader.list_variables()
    except PointerError:
        raise
    except _READ_ERRORS as error:
        if kind := describe_kind(prefix):
            raise ValueError(
                f"{show_path(prefix)} is not a TensorFlow 1 checkpoint, but "
                f"{kind}."
            ) from error
        raise ValueError(
            f"{show_path(prefix)} is not a complete TensorFlow 1 checkpoint, "
            f"it is truncated or something else: {first_line(error)}. Copy it "
            "again, or give the prefix of a checkpoint."
        ) from error
    if _OBJECT_GRAPH in shapes:
        raise ValueError(
            f"{show_path(prefix)} is a checkpoint of TensorFlow 2 objects, "
            "which has no "
            "TensorFlow 1 names. Read it with `tf.train.Checkpoint(...)"
            ".restore(...)` or `keras.saving.load_model`."
        )
    return CheckpointFile(prefix, shapes, dtypes, reader, index)


def _check_files(prefix: pathlib.Path) -> IndexFile | None:
    """Checks what TensorFlow's reader would not, and returns the index.

    Raises:
        OSError: If a file cannot be opened.
        ValueError: If the index is damaged, or a file is a pipe or a device.
    """
    if _is_version_2(prefix) or is_stemless(prefix):
        return read_index(prefix)
    pattern = prefix.name.endswith(_V1_SHARDS)
    for path in prefix.parent.glob(prefix.name) if pattern else [prefix]:
        with open_file(path):
            pass
    return None


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
    stem = FILE_SUFFIX.sub("", path.name)
    if not stem and (path.parent / ".index").is_file():
        return _take_stemless(path.parent)
    prefix = path.with_name(stem or path.name)
    # A `.meta` may stand next to files of either version.
    if prefix != path and _is_checkpoint(prefix):
        return _find_v1_shards(prefix) or prefix
    names = _list_prefixes(path.parent)
    kind = describe_kind(path)
    raise FileNotFoundError(
        f"There is no TensorFlow 1 checkpoint at {show_path(path)}"
        f"{f', which is {kind}' if kind else ''}. Give its "
        "prefix, such as `folder/model.ckpt`, or its folder. Found in "
        f"{show_path(path.parent)}: "
        f"{names}."
    )


def read_creation_order(prefix: pathlib.Path) -> list[str]:
    """Returns the variables in the order in which the program made them.

    A checkpoint itself is sorted by name. The order is that of the graph in
    the `.meta` file; without a readable one the list is empty.
    """
    return [node.name for node in read_nodes(prefix) if node.op in VARIABLE_OPS]


def read_nodes(prefix: pathlib.Path) -> list[Any]:
    """Returns the operations in the `.meta` file, none if it is unreadable."""
    try:
        meta = get_meta_path(prefix)
        content = read_file(meta, max_bytes=MAX_META_BYTES)
        graph = tf.compat.v1.MetaGraphDef.FromString(content).graph_def
    # protobuf's DecodeError has no types and no closer public base class.
    except Exception:  # noqa: BLE001
        return []
    return list(graph.node)


def get_meta_path(prefix: pathlib.Path) -> pathlib.Path:
    """Returns where the `.meta` file of a checkpoint is, if there is one."""
    name = prefix.name.removesuffix(_V1_SHARDS)
    return add_suffix(prefix.with_name(name), ".meta")


def first_line(error: Exception) -> str:
    """Returns the first line of an error, without TensorFlow's own stacks."""
    text = str(error)
    # An error of a session starts with the place that made the operation.
    if "\nNode: " in text:
        text = text.rpartition("\nNode: ")[2].partition("\n")[2]
    line = (text.strip().splitlines() or [type(error).__name__])[0]
    return show_name(line, max_length=1000)


def show_path(path: str | os.PathLike[str]) -> str:
    """Returns a path as it can be printed, whatever the names in it are."""
    return show_name(os.fspath(path), max_length=1000)


def _locate_newest(folder: pathlib.Path) -> pathlib.Path:
    """Returns the prefix that a folder's `checkpoint` file names."""
    if (folder / "saved_model.pb").is_file():
        # A SavedModel of TensorFlow 1 keeps its variables in this format.
        return locate_checkpoint(folder / "variables" / "variables")
    names = _list_prefixes(folder)
    if not (folder / "checkpoint").is_file():
        found = _find_prefixes(folder)
        if found == [folder / ".index"]:
            return _take_stemless(folder)
        if len(found) == 1:
            return found[0]
        raise FileNotFoundError(
            f"The folder {show_path(folder)} has no `checkpoint` file that "
            "says which "
            f"checkpoint is meant. Give a prefix. Found: {names}."
        )
    named = _read_newest_name(folder)
    # What a Saver writes for files without a stem.
    is_folder = re.split(r"[\\/]", named)[-1] in ("", ".")
    if is_folder and (folder / ".index").is_file():
        return _take_stemless(folder)
    listing = show_path(folder / "checkpoint")
    for candidate in _candidates(folder, named):
        if _is_checkpoint(candidate):
            if candidate.name == "checkpoint" and not _is_version_2(candidate):
                raise ValueError(
                    f"The file {listing} names itself. Give the prefix of a "
                    f"checkpoint. Found: {names}."
                )
            return locate_checkpoint(candidate)
    raise FileNotFoundError(
        f"The file {listing} names {named!r}, whose files are not "
        f"in its folder. Copy them there, or give a prefix. Found: {names}."
    )


def _read_newest_name(folder: pathlib.Path) -> str:
    """Returns the checkpoint that the `checkpoint` file of a folder names."""
    path = folder / "checkpoint"
    # Comes with TensorFlow, without types.
    from google.protobuf import text_format  # type: ignore[import-untyped]

    # TensorFlow's own function would wait for a pipe.
    kind = find_message("tensorflow.CheckpointState")
    try:
        content = read_file(path, max_bytes=_MAX_LIST_BYTES)
        state = text_format.Parse(content.decode(), kind())
    # protobuf's ParseError has no types and no nearer public base.
    except Exception as error:
        raise ValueError(
            f"The file {show_path(path)} is not the list that a TensorFlow "
            f"Saver writes: {first_line(error)}. Give a prefix instead of the "
            "folder."
        ) from error
    named: str = state.model_checkpoint_path
    return named


def _candidates(folder: pathlib.Path, named: str) -> list[pathlib.Path]:
    """Returns where the named files may be, always inside the folder.

    The name is often an absolute path on the machine that wrote it, possibly
    with the separators of another system. Its last part still holds.
    """
    if "\0" in named:
        return []
    found = [folder / re.split(r"[\\/]", named)[-1]]
    path = folder / named
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


def _take_stemless(folder: pathlib.Path) -> pathlib.Path:
    """Returns a folder as the prefix of the files without a stem in it."""
    prefix = folder if folder.name else folder.resolve()
    if not is_stemless(prefix):
        raise ValueError(
            f"{show_path(prefix / '.index')} and {show_path(prefix)}.index "
            "have the same prefix. Rename the files in the folder to "
            "`model.index`, `model.meta` and so on."
        )
    return prefix


def _find_prefixes(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the prefixes of the `.index` files in a folder."""
    return sorted(path.with_suffix("") for path in folder.glob("*.index"))


def _list_prefixes(folder: pathlib.Path) -> str:
    """Returns the names of a folder's checkpoints for an error message."""
    found = [show_name(path.name) for path in _find_prefixes(folder)]
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    return ", ".join(found[:20]) + more or "none"
