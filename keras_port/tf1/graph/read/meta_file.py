"""Reads a `.meta` file, its sizes checked before memory is taken."""

import math
import os
import pathlib
from typing import Any

import tensorflow as tf

from keras_port.tf1._files import locate_checkpoint

# Protocol buffers of 2 GiB cannot be read by TensorFlow itself.
MAX_BYTES = 2**31 - 1
# Of the constants of one graph together, as they are in memory.
MAX_CONSTANT_BYTES = 2**30
MetaGraphDef = Any
GraphDef = Any


def meta_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the `.meta` file that a path means.

    Args:
        path: The file itself, its prefix, or the folder of the checkpoint.
    """
    given = pathlib.Path(path)
    if given.suffix == ".meta" and given.exists():
        return given
    if given.name and given.with_name(f"{given.name}.meta").is_file():
        return given.with_name(f"{given.name}.meta")
    if given.is_dir():
        metas = sorted(given.glob("*.meta"))
        if len(metas) == 1:
            return metas[0]
    beside = given if given.is_dir() else given.parent
    shown = ", ".join(one.name for one in sorted(beside.glob("*.meta")))
    if given.is_dir() and shown:
        prefix = locate_checkpoint(given)
        if prefix.with_name(f"{prefix.name}.meta").is_file():
            return prefix.with_name(f"{prefix.name}.meta")
    raise FileNotFoundError(
        f"There is no `.meta` file at {given}. Give the file, as in "
        f"`folder/model.ckpt.meta`. Found in {beside}: {shown or 'none'}."
    )


def read_meta(path: pathlib.Path) -> MetaGraphDef:
    """Returns the content of a `.meta` file.

    Raises:
        ValueError: If it is no such file, is cut, or claims too much.
    """
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file.")
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        raise ValueError(
            f"{path}: a `.meta` holds 1 to {MAX_BYTES:,} bytes. "
            f"Received: {size:,} bytes."
        )
    content = path.read_bytes()
    try:
        meta = tf.compat.v1.MetaGraphDef.FromString(content)
    # protobuf's DecodeError has no types and no nearer public base.
    except Exception as error:
        raise ValueError(
            f"{path} is cut, or is no `.meta` file of TensorFlow 1: {error}. "
            "Copy it again."
        ) from error
    if not meta.graph_def.node:
        raise ValueError(
            f"{path} holds no graph. Give the `.meta` file that "
            "`tf.train.Saver.save` writes beside a checkpoint."
        )
    check_constants(meta.graph_def, str(path))
    return meta


def check_constants(graph: GraphDef, where: str) -> None:
    """Raises if constants would take more memory than there is reason for.

    A constant of a few bytes may say that its one value fills any shape.
    """
    total = 0
    for nodes in [graph.node, *(f.node_def for f in graph.library.function)]:
        for node in nodes:
            # Not only those called Const: any attribute may be a tensor.
            for attribute in node.attr.values():
                for tensor in [attribute.tensor, *attribute.list.tensor]:
                    total += claimed_bytes(tensor, node.name, where)
                if total > MAX_CONSTANT_BYTES:
                    raise ValueError(
                        f"{where}: the constants up to {node.name!r} take "
                        f"{total:,} bytes; at most {MAX_CONSTANT_BYTES:,} are "
                        "allowed. The file is damaged, or made to do harm."
                    )


def claimed_bytes(tensor: Any, name: str, where: str) -> int:
    """Returns how many bytes a tensor will take by its own words."""
    if not tensor.dtype:
        return 0
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    try:
        item = tf.as_dtype(tensor.dtype).base_dtype.size or 8
    except TypeError as error:
        raise ValueError(
            f"{where}: the constant {name!r} has no known type."
        ) from error
    if any(size < 0 for size in sizes) or tensor.tensor_shape.unknown_rank:
        raise ValueError(f"{where}: the constant {name!r} has no shape.")
    claimed: int = item * math.prod(sizes) + tensor.ByteSize()
    return claimed
