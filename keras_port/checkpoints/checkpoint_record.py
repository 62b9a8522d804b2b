"""The result for which a model was saved, inside the saved file."""

import dataclasses
import json
import os
import pathlib
from typing import Any
import zipfile

import h5py

from keras_port._support import local_path

MEMBER = "keras_port.json"


@dataclasses.dataclass(frozen=True)
class CheckpointRecord:
    """Says when a model was saved, and for which result.

    The record is inside the saved file, so it cannot belong to another one.

    Args:
        monitor: Name of the result, such as `"val_accuracy"`.
        value: Its value when the file was saved.
        step: Number of optimizer updates at that time.

    Example:

    >>> record = CheckpointRecord(monitor="val_accuracy", value=0.99, step=100)
    >>> record.value
    0.99
    """

    monitor: str
    value: float
    step: int


def read_record(path: str | os.PathLike[str]) -> CheckpointRecord | None:
    """Returns the record inside a saved model.

    Args:
        path: A `.keras` or `.weights.h5` file.

    Returns:
        The `CheckpointRecord`, or `None` if `StepCheckpoint` did not write
        the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken, or `path` is empty or a bucket such
            as `gs://`.

    Example:

    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[
    ...         keras_port.callbacks.StepEvaluation((x, y), eval_freq=4),
    ...         keras_port.callbacks.StepCheckpoint("model.keras"),
    ...     ],
    ...     verbose=0,
    ... )
    >>> read_record("model.keras").step
    4
    """
    path = local_path("path", path)
    if not path.exists():
        raise FileNotFoundError(f"There is no saved model at {path}.")
    try:
        text = read_text(path)
        return None if text is None else CheckpointRecord(**json.loads(text))
    except Exception as error:  # of zipfile, zlib, HDF5, JSON
        raise ValueError(
            f"{path} is not a complete saved model: {error}. Move it away, and "
            "save the model again."
        ) from error


def read_text(path: pathlib.Path) -> Any:
    """Returns the record's JSON, or `None` if there is none."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                return None
            return archive.read(MEMBER).decode()
    with h5py.File(path, "r") as file:
        return file.attrs.get(MEMBER)
