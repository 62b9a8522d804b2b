"""Reads a `.meta` file, and checks its sizes before it allocates memory."""

import dataclasses
import math
import os
import pathlib

import tensorflow as tf

from keras_port._support import is_regular_file
from keras_port._support import local_path
from keras_port._support import read_file
from keras_port._support import show_name
from keras_port.tf1._files import MAX_META_BYTES
from keras_port.tf1._files import first_line
from keras_port.tf1._files import locate_checkpoint
from keras_port.tf1._files import show_path
from keras_port.tf1.graph.read.errors import name_file_in_errors
from keras_port.tf1.graph.read.graph_collections import Collections
from keras_port.tf1.graph.read.graph_collections import read_collections
from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import function_scopes
from keras_port.tf1.graph.read.nodes import graph_scope
from keras_port.tf1.graph.read.protos import GraphDef
from keras_port.tf1.graph.read.protos import MetaGraphDef
from keras_port.tf1.graph.read.protos import TensorProto

PathLike = str | os.PathLike[str]
SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt")
OTHER_SUFFIXES = {
    ".keras": "a Keras model. Use `keras.saving.load_model`.",
    ".h5": "weights or a model of Keras. Use `keras.saving.load_model` or "
    "`model.load_weights`.",
    ".tflite": "a LiteRT model. Use an interpreter of LiteRT.",
    ".onnx": "an ONNX model. Use an ONNX runtime.",
}
MAX_OPERATIONS = 500_000
MAX_NAME = 4096
# For all constants of a graph together, as they are in memory.
MAX_CONSTANT_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class MetaFile:
    """The content of a `.meta` file.

    Args:
        path: The file.
        meta: Its content, as TensorFlow describes it.
        scope: The operations of the graph.
        functions: The functions of the graph, by name.
        collections: The collections of the graph.
    """

    path: pathlib.Path
    meta: MetaGraphDef
    scope: Scope
    functions: dict[str, Scope]
    collections: Collections


def read_meta_file(path: PathLike) -> MetaFile:
    """Reads a `.meta` file.

    Args:
        path: The file itself, its prefix, or the folder of the checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken or is of another kind, such as a
            frozen graph or a SavedModel; or if `path` is empty or a bucket.
    """
    found = find_meta_file(path)
    meta = parse_meta_file(found)
    with name_file_in_errors(found):
        return MetaFile(
            found,
            meta,
            graph_scope(meta.graph_def),
            function_scopes(meta.graph_def),
            read_collections(meta),
        )


def find_meta_file(path: PathLike) -> pathlib.Path:
    """Returns the `.meta` file that a file, a prefix or a folder stands for."""
    given = local_path("path", path)
    if given.suffix == ".meta" and given.exists():
        return given
    if given.name and given.with_name(f"{given.name}.meta").is_file():
        return given.with_name(f"{given.name}.meta")
    if given.is_dir():
        metas = sorted(given.glob("*.meta"))
        if len(metas) == 1:
            return metas[0]
    folder = given if given.is_dir() else given.parent
    metas = sorted(folder.glob("*.meta"))
    shown = ", ".join(show_name(one.name) for one in metas[:20])
    if given.is_dir() and shown:
        prefix = locate_checkpoint(given)
        if prefix.with_name(f"{prefix.name}.meta").is_file():
            return prefix.with_name(f"{prefix.name}.meta")
    if kind := describe_other_kind(given):
        raise ValueError(
            f"{show_path(given)} is not a `.meta` file of `tf.train.Saver`, "
            f"but {kind}"
        )
    raise FileNotFoundError(
        f"There is no `.meta` file at {show_path(given)}. Give the file, as in "
        f"`folder/model.ckpt.meta`. Found in {show_path(folder)}: "
        f"{shown or 'none'}."
    )


def describe_other_kind(path: pathlib.Path) -> str:
    """Returns which other kind of file this is and what to do, or `""`."""
    folder = path.parent if path.name in SAVED_MODELS else path
    if any((folder / name).is_file() for name in SAVED_MODELS):
        return (
            "a SavedModel or a module of TensorFlow Hub. Write a checkpoint "
            "from it: `with tf.Graph().as_default(), tf.compat.v1.Session() as "
            f"session: tf.compat.v1.saved_model.load(session, ['serve'], "
            f"{str(folder)!r}); tf.compat.v1.train.Saver().save(session, "
            "'old/model.ckpt')`, and pass 'old/model.ckpt'."
        )
    if not is_regular_file(path):
        return ""
    if path.suffix == ".pb":
        return (
            "a graph alone, probably a frozen one, whose variables have become "
            "constants. Write a `.meta` file from it: `meta = tf.compat.v1."
            "MetaGraphDef(); meta.graph_def.ParseFromString(pathlib.Path("
            f"{str(path)!r}).read_bytes()); pathlib.Path('frozen.meta')."
            "write_bytes(meta.SerializeToString())`, and pass 'frozen.meta'. "
            "A frozen graph predicts, but has no weights to train."
        )
    if path.suffix == ".pbtxt":
        return (
            "a graph as text, without the values of its variables. Pass the "
            "`.meta` file or the prefix of the checkpoint next to it."
        )
    return OTHER_SUFFIXES.get(path.suffix, "")


def parse_meta_file(path: pathlib.Path) -> MetaGraphDef:
    """Returns the content of a `.meta` file, its sizes checked.

    Raises:
        ValueError: If the file is not a `.meta` file, is truncated, or claims
            too much memory.
    """
    content = read_file(path, max_bytes=MAX_META_BYTES)
    if not content:
        raise ValueError(f"{show_path(path)} is empty. Copy it again.")
    try:
        meta = tf.compat.v1.MetaGraphDef.FromString(content)
    # protobuf's DecodeError has no types and no nearer public base.
    except Exception as error:
        raise ValueError(
            f"{show_path(path)} is cut, or is not a `.meta` file of TensorFlow "
            f"1: {first_line(error)}. Copy it again."
        ) from error
    if not meta.graph_def.node:
        raise ValueError(
            f"{show_path(path)} holds no graph. Give the `.meta` file that "
            "`tf.train.Saver.save` writes next to a checkpoint."
        )
    check_constants(meta.graph_def, show_path(path))
    return meta


def check_constants(graph: GraphDef, where: str) -> None:
    """Raises an error if a graph would take too much memory.

    A constant of a few bytes may claim that its one value fills a huge shape.

    Args:
        graph: The graph.
        where: What holds the graph, to begin the message with.
    """
    check_operations(graph, where)
    total = 0
    for nodes in [graph.node, *(f.node_def for f in graph.library.function)]:
        for node in nodes:
            # Any attribute may hold a tensor, not only that of a `Const`.
            for attribute in node.attr.values():
                for tensor in [attribute.tensor, *attribute.list.tensor]:
                    total += count_bytes(tensor, node.name, where)
                if total > MAX_CONSTANT_BYTES:
                    raise ValueError(
                        f"{where}: the constants up to "
                        f"{node.name!r} take "
                        f"{total:,} bytes; at most {MAX_CONSTANT_BYTES:,} are "
                        "allowed. The file is damaged or malicious."
                    )


def check_operations(graph: GraphDef, where: str) -> None:
    """Raises an error if a graph is larger than any model is.

    A file of 30 MB can hold a million operations, which take 4 GB here.
    """
    parts = [graph.node, *(one.node_def for one in graph.library.function)]
    count = sum(map(len, parts))
    if count > MAX_OPERATIONS:
        raise ValueError(
            f"{where}: the graph has {count:,} operations; at most "
            f"{MAX_OPERATIONS:,} are allowed."
        )
    longest = max(
        (len(node.name) for part in parts for node in part), default=0
    )
    if longest > MAX_NAME:
        raise ValueError(
            f"{where}: the name of an operation has {longest:,} characters; "
            f"at most {MAX_NAME:,} are allowed."
        )


def count_bytes(tensor: TensorProto, name: str, where: str) -> int:
    """Returns how many bytes of memory a constant claims."""
    if not tensor.dtype:
        return 0
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    try:
        item = tf.as_dtype(tensor.dtype).base_dtype.size or 8
    except TypeError as error:
        raise ValueError(
            f"{where}: the type of the constant {name!r} is unknown. "
            f"Received: dtype={tensor.dtype}."
        ) from error
    if any(size < 0 for size in sizes) or tensor.tensor_shape.unknown_rank:
        raise ValueError(
            f"{where}: the shape of the constant {name!r} is not complete."
        )
    claimed: int = item * math.prod(sizes) + tensor.ByteSize()
    return claimed
