"""Lesson 1c finds the digits of the training again."""

from collections.abc import Callable
from pathlib import Path

import load_perceptron
import train_perceptron

from tests.examples.small_data import short_settings


def test_it_gives_the_digits_of_the_run(
    run_script: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    data_dir: Path,
) -> None:
    results = train_perceptron.train_perceptron(
        **short_settings(tmp_path, data_dir)
    )
    loaded = load_perceptron.load_and_evaluate(tmp_path, data_dir)
    assert loaded == (results.validation_accuracy, results.test_accuracy)
    code, out, _ = run_script(
        load_perceptron, f"--workdir={tmp_path}", f"--data_dir={data_dir}"
    )
    assert code == 0
    before, after = out.splitlines()
    assert before.startswith("Before loading: test accuracy 0.")
    assert after == (
        f"{tmp_path / 'model.keras'}, of step {results.best_step}: validation "
        f"accuracy {results.validation_accuracy:.4f}, test accuracy "
        f"{results.test_accuracy:.4f}."
    )
