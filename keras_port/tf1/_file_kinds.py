"""Tells by its content what a file is, since names are changed."""

import pathlib
import re
from typing import Any
from typing import Literal
from typing import NamedTuple

import tensorflow as tf

from keras_port._support import is_regular_file
from keras_port._support import open_file

GraphKind = Literal[
    ".meta file", "frozen graph", "graph without values", "SavedModel"
]
# Operations of a TensorFlow 1 graph that hold a variable.
VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")
# TensorFlow itself cannot read protocol buffers of 2 GiB.
MAX_META_BYTES = 2**31 - 1
# Bytes that are enough to tell the formats below.
START_BYTES = 4096
_TEXT_GRAPH = (
    "a graph as text, without the values of its variables; give the `.meta` "
    "file or the prefix of the checkpoint that was saved with it"
)
# The start of a file, as a regular expression, and what it is.
_FORMATS = (
    (rb"PK", "a `.keras` or another zip file; use `keras.saving.load_model`"),
    (
        rb"\x89HDF",
        "an HDF5 file; use `keras.saving.load_model` or `model.load_weights`",
    ),
    (rb"(?s:....)TFL3", "a LiteRT model; use an interpreter of LiteRT"),
    (rb"\s*<(!DOCTYPE )?html", "a web page; download the file itself"),
    (
        rb"model_checkpoint_path:",
        "the list of a folder's checkpoints; give the folder",
    ),
    (
        rb"\s*(?:node|library|versions|meta_info_def|graph_def) *\{",
        _TEXT_GRAPH,
    ),
    (
        rb"\s*saved_model_schema_version *:",
        "a SavedModel as text; write it as `saved_model.pb` with the program "
        "that made it",
    ),
)
# The last bytes of a `.index` file, and of a checkpoint of version 1.
_TABLE_END = bytes.fromhex("57fb808b247547db")
_OPERATION = re.compile(r"[A-Za-z_>][A-Za-z0-9_.>]*")


class FoundGraph(NamedTuple):
    """The graph in a file.

    Args:
        kind: What the file is.
        record: Its content: a `MetaGraphDef`, a `SavedModel`, or a `GraphDef`
            for the two kinds between them.
    """

    kind: GraphKind
    record: Any


def find_message(name: str) -> Any:
    """Returns the class of a protocol buffer that TensorFlow does not export.

    Args:
        name: Its full name, such as `"tensorflow.VariableDef"`.
    """
    # Comes with TensorFlow, without types. Imported here because it takes a
    # tenth of a second.
    from google.protobuf import message_factory  # type: ignore[import-untyped]

    pool = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.pool
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def describe_format(content: bytes) -> str:
    """Returns what a file is that holds no graph of TensorFlow 1, or `""`.

    Args:
        content: All of the file, or its first `START_BYTES`.
    """
    for pattern, kind in _FORMATS:
        if re.match(pattern, content[:START_BYTES]):
            return kind
    if content.endswith(_TABLE_END):
        return (
            "the values of variables alone; give the `.meta` file that was "
            "saved with them, or load them with `tf1.load_checkpoint`"
        )
    return ""


def recognize_graph(content: bytes) -> FoundGraph | None:
    """Returns the graph that a file holds, or `None`."""
    meta = _parse(tf.compat.v1.MetaGraphDef, content)
    if meta is not None and _holds_graph(meta.graph_def):
        return FoundGraph(".meta file", meta)
    graph = _parse(tf.compat.v1.GraphDef, content)
    if graph is not None and _holds_graph(graph):
        has_variables = any(node.op in VARIABLE_OPS for node in graph.node)
        kind: GraphKind = (
            "graph without values" if has_variables else "frozen graph"
        )
        return FoundGraph(kind, graph)
    saved = _parse(find_message("tensorflow.SavedModel"), content)
    if saved is not None and saved.meta_graphs:
        return FoundGraph("SavedModel", saved)
    return None


def describe_kind(path: pathlib.Path) -> str:
    """Returns what a file is that is not a checkpoint, and what reads it.

    `""` if it is not known.
    """
    if not is_regular_file(path):
        return ""
    with open_file(path) as file:
        start = file.read(START_BYTES)
        if kind := describe_format(start):
            return kind
        # What other files start with need not be read to its end.
        is_small = path.stat().st_size <= MAX_META_BYTES
        if not is_small or start[:1] not in (b"\x08", b"\n", b"\x12"):
            return ""
        found = recognize_graph(start + file.read())
    if found is None:
        return ""
    if found.kind == "SavedModel":
        return "a SavedModel; give its folder instead of the file"
    if found.kind == ".meta file":
        return (
            "a `.meta` file, which holds a graph without the values of its "
            "variables; they are in the `.index` and `.data` files that were "
            "saved with it"
        )
    if found.kind == "graph without values":
        return (
            "a graph without the values of its variables; give the prefix of "
            "the checkpoint that was saved with it"
        )
    return (
        "a frozen graph, whose variables have become constants; use "
        "`tf1.list_graph` and `tf1.GraphLayer`"
    )


def _parse(message: Any, content: bytes) -> Any:
    """Returns the record that some bytes are, or `None`."""
    try:
        return message.FromString(content)
    # protobuf's DecodeError has no types and no closer public base class.
    except Exception:  # noqa: BLE001
        return None


def _holds_graph(graph: tf.compat.v1.GraphDef) -> bool:
    """Returns whether a record that was parsed is really a graph.

    protobuf often parses a record of another kind without an error.
    """
    types = {node.op for node in graph.node}
    return "" not in types and any(map(_OPERATION.fullmatch, types))
