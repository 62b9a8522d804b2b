"""Saving a model with a record of its worth, also to a full disk."""

import dataclasses
import io
import json
import pathlib
import tempfile
import zipfile

import h5py
import keras

from keras_port.checkpoints.checkpoint_record import MEMBER
from keras_port.checkpoints.checkpoint_record import CheckpointRecord

WEIGHTS = "model.weights.h5"


def write_model(
    model: keras.Model, path: pathlib.Path, record: CheckpointRecord
) -> None:
    """Writes a `.keras` or `.weights.h5` file that carries `record`.

    Raises:
        OSError: If the file cannot be written.
    """
    text = json.dumps(dataclasses.asdict(record))
    if path.suffix == ".h5":
        path.write_bytes(weights_content(model, text))
        return
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(MEMBER, text)


def weights_content(model: keras.Model, text: str) -> bytes:
    """Returns what `save_weights` writes, with the record's text.

    Made in memory, because HDF5 ends the process by a segmentation fault when
    the disk runs full under its open file, and written by Python, which raises
    an `OSError`. Keras makes a `.keras` file in the same way, and its member
    is what `save_weights` writes.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = pathlib.Path(folder, "model.keras")
        model.save(archive)
        with zipfile.ZipFile(archive) as file:
            content = io.BytesIO(file.read(WEIGHTS))
    with h5py.File(content, "a") as file:
        file.attrs[MEMBER] = text
    return content.getvalue()
