"""The result for which a model was saved, inside the saved file."""

import dataclasses
import json
import os
import pathlib
import zipfile

import h5py

from keras_port._support import INT64_MAX
from keras_port._support import local_path
from keras_port._support import open_file
from keras_port._support import read_zip_member
from keras_port._support import show_name

MEMBER = "keras_port.json"
# A record has some hundred bytes.
MAX_BYTES = 1 << 16


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
        return None if text is None else parse_record(text)
    except Exception as error:  # of zipfile, zlib, HDF5, JSON
        raise ValueError(
            f"{path} is not a complete saved model: {error}. Move it away, and "
            "save the model again."
        ) from error


def parse_record(text: str | bytes) -> CheckpointRecord:
    """Returns the record that a saved model holds as JSON.

    Raises:
        ValueError: If it is not JSON, or not a record.
    """
    content = json.loads(text)
    kinds = {"monitor": str, "value": int | float, "step": int}
    if not isinstance(content, dict) or set(content) != set(kinds):
        raise ValueError(
            f"its record must have the fields {', '.join(kinds)}; it is "
            f"{show_name(str(content))}"
        )
    for name, kind in kinds.items():
        value = content[name]
        # Python takes `True` for 1.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(
                f"its record has {name}={show_name(repr(value))}, a "
                f"{type(value).__name__}"
            )
    if not 0 <= content["step"] <= INT64_MAX:
        raise ValueError(f"its record has step={content['step']}")
    return CheckpointRecord(
        monitor=content["monitor"],
        value=float(content["value"]),
        step=content["step"],
    )


def read_text(path: pathlib.Path) -> str | bytes | None:
    """Returns the record's JSON, or `None` if there is none."""
    with open_file(path) as file:
        if path.suffix == ".keras":
            with zipfile.ZipFile(file) as archive:
                if MEMBER not in archive.namelist():
                    return None
                return read_zip_member(archive, MEMBER, max_bytes=MAX_BYTES)
        with h5py.File(file, "r") as content:
            text = content.attrs.get(MEMBER)
    if text is not None and not isinstance(text, str | bytes):
        raise ValueError(f"its record is a {type(text).__name__}")
    return text
