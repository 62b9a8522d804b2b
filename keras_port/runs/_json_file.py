"""JSON files that are read with care and written as a whole."""

from collections.abc import Mapping
import json
import os
import pathlib
from typing import Any

from keras_port._support import read_file
from keras_port.checkpoints import atomic_file
from keras_port.checkpoints import partial_directory
from keras_port.checkpoints import sync

MAX_BYTES = 1 << 20


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns the content of a JSON file of a run."""
    try:
        content = json.loads(read_file(path, max_bytes=MAX_BYTES))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is broken: {error}. Move it away, or choose another "
            "directory."
        ) from error
    return content


def write_first(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file unless another process is the first to do so."""
    with partial_directory(path) as directory:
        partial = directory / path.name
        partial.write_text(format_json(content), "utf-8")
        sync(partial)
        try:
            os.link(partial, path)
        except FileExistsError:
            return
        except OSError:  # A file system without hard links.
            os.replace(partial, path)


def write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file as a whole."""
    with atomic_file(path) as partial:
        partial.write_text(format_json(content), "utf-8")


def format_json(content: Mapping[str, Any]) -> str:
    """Returns JSON that people can read."""
    return json.dumps(content, indent=2) + "\n"
