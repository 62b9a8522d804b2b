"""The script writes the page of a run, and opens it if it should."""

from collections.abc import Callable
from pathlib import Path
import webbrowser

import draw_digit
import pytest

from keras_port import models

RunScript = Callable[..., tuple[object, str, str]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns what is opened instead of a browser."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    return addresses


def test_the_page_is_written_and_opened(
    run_script: RunScript, opened: list[str], tmp_path: Path
) -> None:
    models.build_perceptron().save(tmp_path / "model.keras")
    page = tmp_path / "draw.html"
    code, out, _ = run_script(draw_digit, f"--workdir={tmp_path}")
    assert code == 0
    size = page.stat().st_size / 1000
    assert out == f"Draw a digit on {page} ({size:.0f} kB).\n"
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert opened == [page.as_uri()]


def test_the_page_is_not_opened(
    run_script: RunScript, opened: list[str], tmp_path: Path
) -> None:
    models.build_cnn().save(tmp_path / "model.keras")
    code, out, _ = run_script(draw_digit, f"--workdir={tmp_path}", "--noopen")
    assert code == 0
    assert " (8,7" in out
    assert opened == []


def test_no_model_is_one_line(
    fails_in_one_line: Callable[..., str], tmp_path: Path
) -> None:
    line = fails_in_one_line(draw_digit, f"--workdir={tmp_path}", code=1)
    assert f"no saved model at {tmp_path / 'model.keras'}" in line
    (tmp_path / "model.keras").write_bytes(b"garbage")
    line = fails_in_one_line(draw_digit, f"--workdir={tmp_path}", code=1)
    assert "not a complete saved model" in line
