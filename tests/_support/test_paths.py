"""`local_path`: `~` is the home directory, and buckets are rejected."""

import os
import pathlib
from typing import Any

import pytest

from keras_port._support import local_path


class Remote:
    """A path object of a library for remote files."""

    def __fspath__(self) -> str:
        return "gs://bucket/run"


@pytest.mark.fault("C31")
@pytest.mark.parametrize(
    "path",
    [
        "gs://bucket/run",
        "s3://bucket/best.keras",
        "hdfs://host:8020/a",
        "abfss://c@account/x",
        "file:///tmp/x",
        "GS://bucket",
        # `pathlib` removes the second slash.
        pathlib.Path("gs://bucket/run"),
        Remote(),
    ],
    ids=os.fspath,
)
def test_a_path_with_a_scheme_is_rejected(path: Any) -> None:
    with pytest.raises(ValueError, match=r"`log_dir` must be .* on this mach"):
        local_path("log_dir", path)


@pytest.mark.fault("C31")
def test_a_tilde_is_the_home_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("path", "~/best.keras") == tmp_path / "best.keras"
    assert local_path("path", pathlib.Path("~")) == tmp_path


@pytest.mark.fault("C31")
def test_the_home_of_an_unknown_user_is_an_error() -> None:
    with pytest.raises(ValueError, match="home directory in path='~no_such_"):
        local_path("path", "~no_such_user/run")


@pytest.mark.fault("P25")
def test_an_empty_path_is_not_the_working_directory() -> None:
    with pytest.raises(ValueError, match="`directory` must not be empty"):
        local_path("directory", "")


@pytest.mark.parametrize("path", [None, b"run", 3], ids=repr)
def test_what_is_not_a_path_is_an_error(path: Any) -> None:
    with pytest.raises(TypeError, match="`path` must be a path"):
        local_path("path", path)


@pytest.mark.parametrize(
    "path",
    [
        "run",
        ".",
        "a/~b",
        "C:/runs",
        "time_12:30/run",
        "./gs:/odd",
        "model-{step:06d}.keras",
    ],
)
def test_other_paths_stay_as_they_are(path: Any) -> None:
    assert local_path("path", path) == pathlib.Path(path)
