"""A saved model tells what it was worth."""

import os
from pathlib import Path
import zipfile

import h5py
import pytest

from keras_port.checkpoints import CheckpointRecord
from keras_port.checkpoints import read_record
from keras_port.checkpoints.checkpoint_record import MEMBER
from keras_port.checkpoints.saved_model import write_model
from tests.small import small_model

NAMES = ["m.keras", "m.weights.h5"]
RECORD = CheckpointRecord("val_accuracy", 0.1 + 0.2, 2**40)


@pytest.mark.parametrize("name", NAMES)
def test_the_record_comes_back_with_all_its_digits(
    tmp_path: Path, name: str
) -> None:
    write_model(small_model(), tmp_path / name, RECORD)
    assert read_record(str(tmp_path / name)) == RECORD


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_keras_saved_has_no_record(
    tmp_path: Path, name: str
) -> None:
    model = small_model()
    if name.endswith(".keras"):
        model.save(tmp_path / name)
    else:
        model.save_weights(tmp_path / name)
    assert read_record(tmp_path / name) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"no saved model at .*{name}"):
        read_record(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_was_cut_is_a_value_error(
    tmp_path: Path, name: str, part: float
) -> None:
    path = tmp_path / name
    write_model(small_model(), path, RECORD)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError, match=f"{name} is not a complete"):
        read_record(path)


def test_a_flipped_byte_never_gives_another_record(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    # The record alone: Keras' own members are not read.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, '{"monitor": "a", "value": 0.5, "step": 3}')
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        for mask in (0x01, 0x08, 0xFF):
            content = bytearray(whole)
            content[position] ^= mask
            path.write_bytes(content)
            try:
                found = read_record(path)
            except ValueError:
                refused += 1
            else:
                # None where the member's name was hit.
                assert found in (None, CheckpointRecord("a", 0.5, 3))
    assert refused > len(whole)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "{}", '{"monitor": "a", "worth": 1}'),
        *('{"monitor": 1, "value": 1, "step": 1}', "[" * 10_000),
        '{"monitor": "a", "value": "x", "step": 1}',
        '{"monitor": "a", "value": 1, "step": -1}',
        '{"monitor": "a", "value": 1, "step": 1.5}',
        '{"monitor": "a", "value": true, "step": 1}',
        '{"monitor": "a", "value": 1, "step": 1, "more": 2}',
        '{"monitor": "a", "value": 1, "step": ' + "9" * 5000 + "}",
    ],
    ids=lambda text: text[:40],
)
def test_a_record_of_another_form_is_a_value_error(
    tmp_path: Path, text: str
) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr(MEMBER, text)
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.attrs[MEMBER] = text
    for name in NAMES:
        with pytest.raises(ValueError, match="is not a complete saved model"):
            read_record(tmp_path / name)


def test_a_folder_is_a_value_error(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
        with pytest.raises(ValueError, match="is not a complete saved model"):
            read_record(tmp_path / name)


def test_a_record_that_inflates_is_refused(tmp_path: Path) -> None:
    """S10."""
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, b" " * 10_000_000)
    with pytest.raises(ValueError, match=r"has 10,000,000 bytes, more than"):
        read_record(path)


def test_a_pipe_does_not_wait(tmp_path: Path) -> None:
    """S9."""
    for name in NAMES:
        os.mkfifo(tmp_path / name)
        with pytest.raises(ValueError, match="is a pipe, not a file"):
            read_record(tmp_path / name)
