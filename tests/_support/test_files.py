"""Files that somebody else may have made, and names from them."""

import os
import pathlib
import sys
import zipfile

import pytest

from keras_port._support import is_regular_file
from keras_port._support import open_file
from keras_port._support import read_file
from keras_port._support import read_zip_member
from keras_port._support import show_name

needs_pipes = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pipes in directories"
)


def test_a_regular_file_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert read_file(path, max_bytes=7) == b"content"
    assert is_regular_file(path)
    with pytest.raises(ValueError, match=r"has 7 bytes.*at most 6"):
        read_file(path, max_bytes=6)


@needs_pipes
def test_a_pipe_does_not_wait(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is a pipe, not a file"):
        read_file(tmp_path / "pipe", max_bytes=10)
    assert not is_regular_file(tmp_path / "pipe")


@needs_pipes
def test_a_link_to_a_device_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="is a device, not a file"):
        read_file(tmp_path / "file", max_bytes=10)


def test_a_directory_and_nothing_at_all(tmp_path: pathlib.Path) -> None:
    with (
        pytest.raises(ValueError, match="is a directory"),
        open_file(tmp_path),
    ):
        pass
    with pytest.raises(FileNotFoundError), open_file(tmp_path / "missing"):
        pass
    assert not is_regular_file(tmp_path)
    assert not is_regular_file(tmp_path / "missing")
    assert not is_regular_file(pathlib.Path("\0"))


def test_a_member_that_inflates_too_much_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("large", bytes(10_000))
        archive.writestr("small", b"12")
    with zipfile.ZipFile(path) as archive:
        assert read_zip_member(archive, "small", max_bytes=2) == b"12"
        with pytest.raises(ValueError, match="large has 10,000 bytes"):
            read_zip_member(archive, "large", max_bytes=9_999)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("conv1/W:0", "conv1/W:0"),
        ("größe", "größe"),
        ("a\nb\r\x1b[2J\x07", "a\\nb\\r\\x1b[2J\\x07"),
        # Changes the direction of the text that follows.
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("x" * 201, "x" * 200 + "..."),
    ],
)
def test_names_are_shown_without_control_characters(
    name: str, shown: str
) -> None:
    assert show_name(name) == shown
    assert show_name(name).isprintable()
