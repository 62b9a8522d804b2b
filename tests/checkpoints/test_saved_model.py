"""A saved model loads as one that Keras saved, with its record."""

import io
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_port.checkpoints import CheckpointRecord
from keras_port.checkpoints import read_record
from keras_port.checkpoints.saved_model import weights_content
from keras_port.checkpoints.saved_model import write_model
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train

RECORD = CheckpointRecord("val_accuracy", 0.5, 5)


def trained_model() -> keras.Model:
    """Returns a model whose optimizer has slots."""
    model = small_model(optimizer="adam")
    train(model, [], steps=5)
    return model


def all_values(model: keras.Model) -> list[np.ndarray]:
    """Returns the weights and what the optimizer remembers."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(variable) for variable in variables]


def test_a_keras_file_loads_with_its_optimizer(tmp_path: Path) -> None:
    model = trained_model()
    write_model(model, tmp_path / "m.keras", RECORD)
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert same_weights(all_values(loaded), all_values(model))
    assert int(loaded.optimizer.iterations) == 5
    x, _ = small_arrays()
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert read_record(tmp_path / "m.keras") == RECORD


def test_a_weights_file_loads_with_its_optimizer(tmp_path: Path) -> None:
    model = trained_model()
    write_model(model, tmp_path / "m.weights.h5", RECORD)
    loaded = small_model(optimizer="adam")
    loaded.optimizer.build(loaded.trainable_variables)
    loaded.load_weights(tmp_path / "m.weights.h5")
    assert same_weights(all_values(loaded), all_values(model))
    assert read_record(tmp_path / "m.weights.h5") == RECORD


def contents(file: h5py.File) -> dict[str, list[float]]:
    """Returns every array of an HDF5 file, by its path and attributes."""
    found: dict[str, list[float]] = {}

    def note(name: str, entry: h5py.Group | h5py.Dataset) -> None:
        found[f"{name} {dict(entry.attrs)}"] = (
            np.asarray(entry).ravel().tolist()
            if isinstance(entry, h5py.Dataset)
            else []
        )

    file.visititems(note)
    return found


def test_a_weights_file_holds_what_keras_writes(tmp_path: Path) -> None:
    model = trained_model()
    model.save_weights(tmp_path / "keras.weights.h5")
    with (
        h5py.File(tmp_path / "keras.weights.h5", "r") as expected,
        h5py.File(io.BytesIO(weights_content(model, "{}")), "r") as file,
    ):
        assert contents(file) == contents(expected)
        assert contents(file)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_a_folder_that_is_not_there_is_an_os_error(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_model(small_model(), tmp_path / "none" / name, RECORD)
