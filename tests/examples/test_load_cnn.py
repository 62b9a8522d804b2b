"""Lesson 3b finds the digits of the training again."""

from collections.abc import Callable
from pathlib import Path

import load_cnn
import pytest
import train_cnn

from tests.examples.small_data import short_settings


@pytest.mark.usefixtures("small_validation")
@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
def test_it_gives_the_digits_of_the_run(
    run_script: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    data_dir: Path,
    precision: str,
) -> None:
    settings = short_settings(tmp_path, data_dir, max_steps=2)
    results = train_cnn.train_cnn(**settings, precision=precision)
    loaded = load_cnn.load_and_evaluate(tmp_path, data_dir)
    assert loaded == (results.validation_accuracy, results.test_accuracy)
    code, out, _ = run_script(
        load_cnn, f"--workdir={tmp_path}", f"--data_dir={data_dir}"
    )
    assert code == 0
    assert out == (
        f"{tmp_path / 'model.keras'}, of step 2: validation accuracy "
        f"{results.validation_accuracy:.4f}, test accuracy "
        f"{results.test_accuracy:.4f}.\n"
    )
