"""A folder that cannot take files is known before the training."""

import errno
import os
from pathlib import Path
import tempfile

import pytest

from keras_port.checkpoints import make_writable_directory


def test_the_folder_and_those_above_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "cnn"
    assert make_writable_directory(str(folder)) == folder
    assert list(folder.iterdir()) == []


def test_a_folder_in_use_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_text("whole")
    make_writable_directory(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_text() == "whole"


@pytest.mark.fault("B24")
@pytest.mark.parametrize("below", ["", "runs/cnn"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / below
    with pytest.raises(OSError, match=r"cannot be written to: .*Choose") as e:
        make_writable_directory(folder)
    assert str(folder) in str(e.value)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.fault("B24")
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_file_system_without_files_of_ours_is_named() -> None:
    # Also for root, to whom no folder's rights say no.
    with pytest.raises(OSError, match="/proc/keras_port cannot be written to"):
        make_writable_directory("/proc/keras_port")


@pytest.mark.fault("B24")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_folder_in_which_no_file_can_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(**options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=os.strerror(number)):
        make_writable_directory(tmp_path)
