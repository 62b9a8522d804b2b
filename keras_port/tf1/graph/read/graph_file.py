"""Reads the file that holds a TensorFlow 1 graph, whatever its kind.

The kind is told by the content, not by the name: a `.meta` file of
`tf.train.Saver`, a frozen graph, or a SavedModel of TensorFlow 1.
"""

import contextlib
import dataclasses
import os
import pathlib

from keras_port._support import local_path
from keras_port._support import read_file
from keras_port._support import show_name
from keras_port.tf1._file_kinds import MAX_META_BYTES
from keras_port.tf1._file_kinds import GraphKind
from keras_port.tf1._file_kinds import describe_format
from keras_port.tf1._file_kinds import recognize_graph
from keras_port.tf1._files import FILE_SUFFIX
from keras_port.tf1._files import locate_checkpoint
from keras_port.tf1._files import show_path
from keras_port.tf1.graph.read.errors import name_file_in_errors
from keras_port.tf1.graph.read.graph_collections import Collections
from keras_port.tf1.graph.read.graph_collections import read_collections
from keras_port.tf1.graph.read.graph_size import check_constants
from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import function_scopes
from keras_port.tf1.graph.read.nodes import graph_scope
from keras_port.tf1.graph.read.protos import MetaGraphDef
from keras_port.tf1.graph.read.protos import SavedModel
from keras_port.tf1.graph.read.signatures import Signature
from keras_port.tf1.graph.read.signatures import read_signatures
from keras_port.tf1.graph.read.stated_shapes import use_stated_shapes
from keras_port.tf1.graph.read.tables import connect_tables

PathLike = str | os.PathLike[str]
SAVED_MODEL = "saved_model.pb"
# Where a SavedModel keeps the values of its variables.
SAVED_VALUES = pathlib.Path("variables", "variables.index")
MAX_SHOWN = 20
# Files that people take for graphs.
OTHERS = (".pbtxt", ".h5", ".keras", ".tflite")


@dataclasses.dataclass(frozen=True)
class GraphFile:
    """The content of a file that holds a graph.

    Args:
        path: The file.
        kind: Its kind.
        meta: Its content, as TensorFlow describes it.
        scope: The operations of the graph.
        functions: The functions of the graph, by name.
        collections: The collections of the graph, empty in a frozen graph.
        signatures: The named inputs and outputs, by the signature's name.
        checkpoint: The checkpoint that belongs to the file, `None` for a frozen
            graph, whose values are constants, and for a graph without values.
    """

    path: pathlib.Path
    kind: GraphKind
    meta: MetaGraphDef
    scope: Scope
    functions: dict[str, Scope]
    collections: Collections
    signatures: dict[str, Signature]
    checkpoint: pathlib.Path | None


def read_graph_file(path: PathLike) -> GraphFile:
    """Reads the file that holds a graph.

    Args:
        path: A `.meta` file, its prefix, a frozen graph, a SavedModel or its
            folder, or the folder that holds one of them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken or is of another kind; or if `path` is
            empty or a bucket.
    """
    found = find_graph_file(path)
    kind, meta = parse_graph_file(found)
    with name_file_in_errors(found):
        use_stated_shapes(meta.graph_def)
        connect_tables(meta.graph_def)
        scope = graph_scope(meta.graph_def)
        return GraphFile(
            found,
            kind,
            meta,
            scope,
            function_scopes(meta.graph_def),
            read_collections(meta),
            read_signatures(meta, scope),
            {
                ".meta file": found,
                "frozen graph": None,
                "graph without values": None,
                "SavedModel": found.parent / SAVED_VALUES,
            }[kind],
        )


def find_graph_file(path: PathLike) -> pathlib.Path:
    """Returns the file that a file, a prefix or a folder stands for."""
    given = local_path("path", path)
    if given.is_dir():
        return find_in_folder(given)
    stem = FILE_SUFFIX.sub("", given.name)
    beside = given.with_name(f"{stem}.meta")
    # A prefix, or another file of the same checkpoint.
    if beside.is_file() and (not given.exists() or stem != given.name):
        return beside
    if given.exists() and not FILE_SUFFIX.search(given.name):
        # A checkpoint of version 1 may have its prefix as its whole name.
        return beside if beside.is_file() else given
    if given.exists() and given.suffix == ".meta":
        return given
    raise FileNotFoundError(
        f"There is no TensorFlow 1 graph at {show_path(given)}. Give a `.meta` "
        "file, as in `folder/model.ckpt.meta`, a frozen `.pb` file, or the "
        f"folder of a SavedModel. Found in {show_path(given.parent)}: "
        f"{list_graph_files(given.parent)}.{explain_values(given.parent)}"
    )


def find_in_folder(folder: pathlib.Path) -> pathlib.Path:
    """Returns the one file in a folder that holds a graph."""
    beside = folder.with_name(f"{folder.name}.meta") if folder.name else folder
    metas = sorted(folder.glob("*.meta"))
    if len(metas) == 1:
        return metas[0]
    if not metas and beside.is_file():
        return beside
    if not metas and (folder / SAVED_MODEL).exists():
        return folder / SAVED_MODEL
    if metas:
        with contextlib.suppress(FileNotFoundError):
            prefix = locate_checkpoint(folder)
            found = prefix.with_name(f"{prefix.name}.meta")
            if found.is_file():
                return found
    frozen = sorted(folder.glob("*.pb"))
    if not metas and len(frozen) == 1:
        return frozen[0]
    count = len(metas) or len(frozen)
    others = [one for suffix in OTHERS for one in folder.glob(f"*{suffix}")]
    if not count and len(others) == 1:
        # Reading it says what it is.
        return others[0]
    raise FileNotFoundError(
        f"The folder {show_path(folder)} holds {count or 'no'} TensorFlow 1 "
        f"graph{'s' * (count != 1)}. Give the file. Found: "
        f"{list_graph_files(folder)}."
        f"{'' if count else explain_values(folder)}"
    )


def explain_values(folder: pathlib.Path) -> str:
    """Returns what to do with a folder of values without a graph, or `""`."""
    if next(folder.glob("*.index"), None) is None:
        return ""
    return (
        " The `.index` file there holds the values of variables alone: find "
        "the `.meta` file that was saved with them, or load them with "
        "`tf1.load_checkpoint` into a model that you build."
    )


def list_graph_files(folder: pathlib.Path) -> str:
    """Returns the names of the files that may hold graphs, for a message."""
    found = sorted(
        one.name
        for suffix in (".meta", ".pb", ".index", *OTHERS)
        for one in folder.glob(f"*{suffix}")
    )
    more = f" and {len(found) - MAX_SHOWN} more" * (len(found) > MAX_SHOWN)
    return ", ".join(map(show_name, found[:MAX_SHOWN])) + more or "none"


def parse_graph_file(path: pathlib.Path) -> tuple[GraphKind, MetaGraphDef]:
    """Returns the kind and the content of a file, its sizes checked.

    Raises:
        ValueError: If the file holds no graph, is truncated, or claims too much
            memory.
    """
    content = read_file(path, max_bytes=MAX_META_BYTES)
    if not content:
        raise ValueError(f"{show_path(path)} is empty. Copy it again.")
    if other := describe_format(content):
        raise ValueError(
            f"{show_path(path)} is not a TensorFlow 1 graph, but {other}."
        )
    found = recognize_graph(content)
    if found is None:
        raise ValueError(
            f"{show_path(path)} is cut, or is neither a `.meta` file nor a "
            "frozen graph nor a SavedModel of TensorFlow 1. Copy it again."
        )
    meta = found.record
    if found.kind in ("frozen graph", "graph without values"):
        meta = MetaGraphDef(graph_def=found.record)
    elif found.kind == "SavedModel":
        meta = choose_meta_graph(found.record, path)
    check_constants(meta.graph_def, show_path(path))
    return found.kind, meta


def choose_meta_graph(saved: SavedModel, path: pathlib.Path) -> MetaGraphDef:
    """Returns the graph of a SavedModel that is made to predict."""
    tags = [list(one.meta_info_def.tags) for one in saved.meta_graphs]
    best = [number for number, one in enumerate(tags) if one == ["serve"]]
    best += [number for number, one in enumerate(tags) if "serve" in one]
    meta: MetaGraphDef = saved.meta_graphs[best[0] if best else 0]
    if meta.object_graph_def.nodes:
        raise ValueError(
            f"{show_path(path)} is a SavedModel of TensorFlow 2. Load it with "
            f"`keras.layers.TFSMLayer({os.fspath(path.parent)!r}, "
            "call_endpoint='serving_default')` or `tf.saved_model.load`."
        )
    return meta
