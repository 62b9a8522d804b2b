"""Says what a file is that is not a TensorFlow 1 checkpoint."""

from collections.abc import Iterable
import pathlib
import re
from typing import Any

import tensorflow as tf

from keras_port._support import is_regular_file
from keras_port._support import open_file

# Operations of a TensorFlow 1 graph that hold a variable.
VARIABLE_OPS = ("Variable", "VariableV2", "VarHandleOp")
# TensorFlow itself cannot read protocol buffers of 2 GiB.
MAX_META_BYTES = 2**31 - 1
_OTHER_FORMATS = {
    b"PK": "a `.keras` or other zip file; use `keras.saving.load_model`",
    b"\x89HDF": "an HDF5 file; use `model.load_weights`",
}
_LITERT = b"TFL3"
# The version of the format, 1, and the first of the graphs.
_SAVED_MODEL = b"\x08\x01\x12"
_SAVED_MODEL_KIND = "a SavedModel; give its folder instead of the file"
# The first field of a graph as text.
_TEXT = re.compile(rb"\s*(?:node|library|versions|meta_info_def|graph_def) *\{")
_SAVED_MODEL_TEXT = re.compile(rb"\s*saved_model_schema_version *:")
_OPERATION = re.compile(r"[A-Za-z0-9_>]+")


def describe_kind(path: pathlib.Path) -> str:
    """Returns what a file is and what reads it, or `""` if it is not known.

    Goes by the content, since names are changed: a frozen graph may be called
    `model.ckpt`.
    """
    if not is_regular_file(path):
        return ""
    with open_file(path) as file:
        start = file.read(4096)
        for magic, kind in _OTHER_FORMATS.items():
            if start.startswith(magic):
                return kind
        if start[4:8] == _LITERT:
            return "a LiteRT model; use an interpreter of LiteRT"
        if start.startswith(_SAVED_MODEL) or _SAVED_MODEL_TEXT.match(start):
            return _SAVED_MODEL_KIND
        if _TEXT.match(start):
            return (
                "a graph as text, without the values of its variables; give "
                "the prefix of the checkpoint that was saved with it"
            )
        # All graphs start with a message in the first or the second field.
        is_small = path.stat().st_size <= MAX_META_BYTES
        if is_small and start.startswith((b"\n", b"\x12")):
            return _describe_graph(start + file.read())
    return ""


def _describe_graph(content: bytes) -> str:
    """Returns what a graph in binary is, or `""` if it is none."""
    nodes = _parse(tf.compat.v1.GraphDef, content, lambda graph: graph.node)
    if nodes and not any(node.op in VARIABLE_OPS for node in nodes):
        return (
            "a frozen graph, whose variables have become constants; use "
            "`tf1.list_graph` and `tf1.GraphLayer`"
        )
    if nodes:
        return (
            "a graph without the values of its variables; give the prefix of "
            "the checkpoint that was saved with it"
        )
    if _parse(
        tf.compat.v1.MetaGraphDef, content, lambda meta: meta.graph_def.node
    ):
        return (
            "a `.meta` file, which holds a graph without the values of its "
            "variables; they are in the `.index` and `.data` files that were "
            "saved with it"
        )
    return ""


def _parse(message: Any, content: bytes, get_nodes: Any) -> Iterable[Any]:
    """Returns the operations of a graph, none if it cannot be read as one."""
    try:
        nodes = get_nodes(message.FromString(content))
    # protobuf's DecodeError has no types and no closer public base class.
    except Exception:  # noqa: BLE001
        return []
    is_graph = all(_OPERATION.fullmatch(node.op) for node in nodes)
    return nodes if is_graph else []
