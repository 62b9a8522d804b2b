"""What a program leaves, and where two programs have left something else."""

import io
import json
import pathlib
from typing import Any
import zipfile

import h5py
import numpy as np

from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import events
from keras_port.checkpoints import read_record
from keras_port.checkpoints import read_snapshot

# Curves and results that tell of the machine, not of the run.
OF_THE_CLOCK = (
    "speed/steps_per_second",
    "speed/examples_per_second",
    "examples_per_second",
    "seconds",
    # The address of an object, which Keras writes into the configuration.
    "shared_object_id",
)


def read_end(workdir: pathlib.Path) -> dict[str, Any]:
    """Returns all that a program leaves, without times.

    The newest snapshot of every directory, the saved models with their
    records, the points of the curves, and JSON and `.npz` files of the
    program.
    """
    content: dict[str, Any] = {}
    for path in sorted(workdir.rglob("*")):
        name = str(path.relative_to(workdir))
        if path.name.startswith(".partial-"):
            content[name] = "a partial file"
        elif path.suffix == ".keras":
            content[name] = read_model(path)
        elif path.suffix == ".json":
            content[name] = leave_times_out(json.loads(path.read_text()))
        elif path.name == "end.npz":
            with np.load(path) as arrays:
                content[name] = {key: arrays[key] for key in arrays.files}
        elif path.is_dir() and list(path.glob("state-*.npz")):
            newest = max(path.glob("state-*.npz"), key=order)
            content[f"{name}/{newest.name}"] = read_snapshot(newest)
        if path.is_dir() and event_files(path):
            content[name] = read_points(path)
    if list(workdir.glob("state-*.npz")):
        newest = max(workdir.glob("state-*.npz"), key=order)
        content[newest.name] = read_snapshot(newest)
    return content


def leave_snapshots_out(content: dict[str, Any]) -> dict[str, Any]:
    """Returns what a program leaves without its snapshots."""
    return {k: v for k, v in content.items() if not k.endswith(".npz")} | {
        k: v for k, v in content.items() if k == "end.npz"
    }


def order(path: pathlib.Path) -> tuple[int, int]:
    """Returns the `fit` and the step of a snapshot."""
    *fit, step = path.stem.split("-")[1:]
    return int(fit[0]) if fit else 0, int(step)


def leave_times_out(content: Any) -> Any:
    """Returns a content of JSON without what differs from run to run."""
    if isinstance(content, list):
        return [leave_times_out(one) for one in content]
    if not isinstance(content, dict):
        return content
    return {
        key: leave_times_out(one)
        for key, one in content.items()
        if key not in OF_THE_CLOCK
    }


def read_model(path: pathlib.Path) -> dict[str, Any]:
    """Returns a saved model: its record, its configuration, its arrays."""
    arrays: dict[str, Any] = {}

    def add(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = np.asarray(node)

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r") as file:
        file.visititems(add)
    record = read_record(path)
    return {
        "record": str(record),
        "config": leave_times_out(config),
        "arrays": arrays,
    }


def read_points(directory: pathlib.Path) -> dict[str, Any]:
    """Returns the points of the curves of one run, in their order."""
    points: dict[str, Any] = {}
    for path in event_files(directory):
        for _, event in events(path):
            for value in event.summary.value:
                if value.tag not in OF_THE_CLOCK:
                    content = value.tensor.SerializeToString()
                    points.setdefault(value.tag, []).append(
                        [event.step, content]
                    )
    return points


def find_differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Returns where two nested contents are not equal to the bit."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [
            line
            for key in sorted({*left, *right}, key=str)
            for line in find_differences(
                left.get(key), right.get(key), f"{path}/{key}"
            )
        ]
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return [f"{path}: {len(left)} and {len(right)} values"]
        return [
            line
            for at, pair in enumerate(zip(left, right, strict=True))
            for line in find_differences(*pair, f"{path}/{at}")
        ]
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        same = (
            left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
        )
        return [] if same else [f"{path}: the arrays differ"]
    if isinstance(left, float) and isinstance(right, float):
        return [] if repr(left) == repr(right) else [f"{path}: {left} {right}"]
    if type(left) is type(right) and left == right:
        return []
    return [f"{path}: {str(left)[:80]} and {str(right)[:80]}"]


def find_broken_files(workdir: pathlib.Path) -> list[str]:
    """Returns what is not complete, without files that are called partial."""
    broken = []
    for path in sorted(workdir.rglob("*")):
        if any(part.startswith(".partial-") for part in path.parts):
            continue
        try:
            if path.suffix == ".keras":
                read_model(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.name.startswith("state-"):
                read_snapshot(path)
        except Exception as error:  # noqa: BLE001 (of every kind of file)
            broken.append(f"{path.relative_to(workdir)} is broken: {error}")
    return broken
