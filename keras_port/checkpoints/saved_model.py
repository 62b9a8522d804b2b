"""Saves a model with the value it was saved for, safely on a full disk."""

import dataclasses
import io
import json
import pathlib
import tempfile
from typing import Any
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
    """Returns what `save_weights` writes, and the record's text.

    HDF5 ends the process with a segmentation fault if the disk runs full under
    its open file. So the file is made in memory, and Python writes it, which
    raises an `OSError`. Keras makes a file in memory only for a `.keras`
    archive, which needs the configuration of the model. A `WeightsOf` has one
    even if the model, its optimizer or its loss does not.
    """
    with tempfile.TemporaryDirectory() as directory:
        archive = pathlib.Path(directory, "model.keras")
        keras.saving.save_model(WeightsOf(model), archive)
        with zipfile.ZipFile(archive) as file:
            content = io.BytesIO(file.read(WEIGHTS))
    with h5py.File(content, "a") as file:
        del file["vars"]  # Of the layer around the model; it is empty.
        for name in list(file["model"]):
            file.move(f"model/{name}", name)
        del file["model"]
        file.attrs[MEMBER] = text
    return content.getvalue()


class WeightsOf(keras.layers.Layer):  # type: ignore[misc]
    """Holds a model whose weights are saved without its configuration."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name="weights")
        self.model = model
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """Returns nothing: the file is never loaded as a model."""
        return {}
