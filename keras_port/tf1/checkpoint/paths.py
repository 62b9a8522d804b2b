"""Finds the checkpoint that a path means, whatever part of it is named."""

import os
import pathlib
import re

import tensorflow as tf

# The parts of one checkpoint, any of which may be named instead of the prefix.
PART = re.compile(r"\.index$|\.meta$|\.data-\d{5}-of-\d{5}$")
V1_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
V1_SHARDS = "-?????-of-?????"


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
        if candidate != folder
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
