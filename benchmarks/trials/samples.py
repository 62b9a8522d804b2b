"""Sound files of every format that is read, and other values in them."""

from collections.abc import Iterator
import copy
import gzip
import math
import pathlib
import random
import shutil
from typing import Any

import keras
import numpy as np

from benchmarks.trials.program_list import encode_idx
from benchmarks.trials.programs import parts
from keras_port import callbacks
from keras_port import tf1

STEPS = 8


def build_model() -> keras.Model:
    """Returns a compiled model."""
    model = parts.build_model(dropout=0.3)
    parts.compile_model(model)
    return model


def fit(workdir: pathlib.Path) -> keras.Model:
    """Trains with all callbacks that have a state."""
    model = build_model()
    model.fit(
        *parts.make_arrays(),
        batch_size=12,
        epochs=2,
        shuffle=False,
        callbacks=[
            *parts.make_callbacks(workdir),
            callbacks.StepProgress(batch_size=12),
            callbacks.TensorBoard(
                workdir / "logs", update_freq=1, overwrite=True
            ),
            keras.callbacks.EarlyStopping("loss", patience=9),
            keras.callbacks.ReduceLROnPlateau("loss", patience=9),
            callbacks.TrainingState(workdir / "state", save_freq=4),
        ],
        verbose=0,
    )
    return model


def write_all(name: str) -> None:
    """Writes a folder for every format, with a file that names the target.

    Args:
        name: Path of an empty folder.
    """
    folder = pathlib.Path(name)
    images = np.arange(5 * 28 * 28, dtype=np.uint8).reshape(5, 28, 28)
    content = encode_idx(images)
    add(folder / "idx", {"images-idx3-ubyte": content})
    add(folder / "idx_gz", {"images.gz": gzip.compress(content, mtime=0)})
    run = folder / "run"
    model = fit(run)
    newest = f"state/state-{STEPS:08d}.npz"
    for form in ("snapshot", "snapshot_content"):
        shutil.copytree(run, folder / form)
        (folder / form / "target").write_text(newest)
    add(folder / "record", {"model.keras": (run / "model.keras").read_bytes()})
    events = next((run / "logs" / "train").glob("events*"))
    add(folder / "events", {events.name: events.read_bytes()})
    targets = {
        "checkpoint_text": "checkpoint",
        "checkpoint_index": "model.ckpt.index",
        "meta": "model.ckpt.meta",
    }
    for form, target in targets.items():
        tf1.save_checkpoint(model, folder / form / "model.ckpt")
        (folder / form / "target").write_text(target)


def add(folder: pathlib.Path, files: dict[str, bytes]) -> None:
    """Writes the folder of a format; the first file is the target."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "target").write_text(next(iter(files)))


def list_places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Yields the place of every value in a nested content."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield (*place, key)
        yield from list_places(value[key], (*place, key))


def change(content: Any, generator: random.Random) -> Any:
    """Returns a nested content with another value at one place."""
    content = copy.deepcopy(content)
    places = list(list_places(content))
    if not places:
        return content
    *parents, last = generator.choice(places)
    parent = content
    for key in parents:
        parent = parent[key]
    how = generator.randrange(6)
    if how == 0:
        del parent[last]
    elif how == 1 and isinstance(parent, dict):
        parent["other"] = parent.pop(last)
    elif how == 2:
        parent[last] = change_value(parent[last], generator)
    else:
        parent[last] = generator.choice(make_values())
    return content


def change_value(value: Any, generator: random.Random) -> Any:
    """Returns a value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + generator.choice([-1, 1, 1 << 40, 0.5])
    if isinstance(value, str):
        return value + generator.choice(["x", "\n", "\x1b[2J", "/../y"])
    if isinstance(value, list):
        return value * 2
    if isinstance(value, np.ndarray):
        return generator.choice(
            [value[..., None], value.astype("float64"), value.reshape(-1)[:1]]
        )
    return value


def make_values() -> list[Any]:
    """Returns values of all types."""
    numbers = [-1, 0, 1, 10**30, 2**63, 1.5, math.nan, math.inf, True, None]
    nested: Any = [[["x"]]]
    return [
        *numbers,
        *("", "text", "x" * 10_000),
        *([], {}, [1], {"a": 1}, nested, list(range(1000))),
        *(np.ones(3), np.zeros((2, 0)), np.array("text"), np.ones((), bool)),
    ]
