"""A `.meta` file and all that is read of it."""

import dataclasses
import os
import pathlib
from typing import Any

from keras_port.tf1.graph.read.errors import told_of
from keras_port.tf1.graph.read.graph_collections import Collections
from keras_port.tf1.graph.read.graph_collections import read_collections
from keras_port.tf1.graph.read.meta_file import meta_path
from keras_port.tf1.graph.read.meta_file import read_meta
from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import function_scopes
from keras_port.tf1.graph.read.nodes import graph_scope

PathLike = str | os.PathLike[str]
MetaGraphDef = Any
PLACEHOLDERS = ("Placeholder", "PlaceholderV2")


@dataclasses.dataclass(frozen=True)
class Source:
    """A `.meta` file that has been read.

    Args:
        path: The file.
        meta: Its content.
        scope: Its operations.
        functions: Its library.
        collections: What they are for.
    """

    path: pathlib.Path
    meta: MetaGraphDef
    scope: Scope
    functions: dict[str, Scope]
    collections: Collections


def read_source(path: PathLike) -> Source:
    """Reads a `.meta` file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is broken.
    """
    found = meta_path(path)
    meta = read_meta(found)
    with told_of(found):
        return Source(
            found,
            meta,
            graph_scope(meta.graph_def),
            function_scopes(meta.graph_def),
            read_collections(meta),
        )
