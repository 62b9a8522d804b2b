"""A wrong environment is refused at import, with what to set."""

import importlib.metadata
import json
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from keras_port import _environment


def imported_with(**variables: str) -> subprocess.CompletedProcess[str]:
    """Imports the package in a new process."""
    inherited = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", "import keras_port"],
        cwd=Path(__file__).parents[1],
        env={**inherited, **variables},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_is_refused_before_keras_is_imported(
    backend: str,
) -> None:
    ended = imported_with(KERAS_BACKEND=backend)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("ImportError: keras_port needs Keras on TensorFlow")
    assert f"the backend is '{backend}'" in last
    assert "KERAS_BACKEND=tensorflow" in last
    # It was not Keras that failed, for want of the other package.
    assert "import keras\n" not in ended.stderr


@pytest.mark.parametrize("backend", ["numpy", "no_such_backend"])
def test_another_backend_in_keras_json_is_refused(
    tmp_path: Path, backend: str
) -> None:
    settings = {
        "backend": backend,
        "floatx": "float32",
        "epsilon": 1e-7,
        "image_data_format": "channels_last",
    }
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    ended = imported_with(KERAS_HOME=str(tmp_path))
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("ImportError: "), ended.stderr
    assert "KERAS_BACKEND=tensorflow" in last


def set_version(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    def found(package: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return version

    monkeypatch.setattr(importlib.metadata, "version", found)


@pytest.mark.parametrize("version", ["3.11.3", "2.15.0", "3.0", "3.11rc2"])
def test_an_old_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    set_version(monkeypatch, version)
    with pytest.raises(ImportError) as raised:
        _environment.check_environment()
    text = str(raised.value)
    assert "keras_port needs keras>=3.12" in text
    assert f"keras {version} is installed" in text
    assert 'pip install -U "keras>=3.12"' in text


@pytest.mark.parametrize("version", ["3.12.0", "3.12.0rc1", "3.100", "4.0"])
def test_a_new_enough_version_passes(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    set_version(monkeypatch, version)
    _environment.check_version("keras", (3, 12))


def test_tensorflow_under_another_name_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_version(monkeypatch, None)
    _environment.check_version("tensorflow", (2, 20))


def test_this_environment_passes() -> None:
    _environment.check_environment()


def test_an_empty_variable_is_no_backend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "")
    _environment.check_environment()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.15.1", (3, 15)),
        ("3.15.1rc0", (3, 15)),
        ("2.21.0.dev20260101", (2, 21)),
        ("3.11rc2", (3, 11)),
    ],
)
def test_versions_are_read_as_two_numbers(
    text: str, expected: tuple[int, int]
) -> None:
    assert _environment.parse_version(text) == expected


def test_the_metadata_asks_for_the_same_versions() -> None:
    requirements = importlib.metadata.requires("keras_port") or []
    for package, (major, minor) in _environment.MINIMUM_VERSIONS.items():
        # The lower bound may have a third number, and some versions are left
        # out.
        bound = rf"{package}\b(?!-).*>={major}\.{minor}(\.|,|;|$)"
        assert any(re.match(bound, one) for one in requirements), requirements
