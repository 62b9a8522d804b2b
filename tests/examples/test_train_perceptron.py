"""Lesson 1 trains, resumes, and gives the course's numbers."""

import os
from pathlib import Path
import re
import subprocess
import sys

import numpy as np
import pytest
import train_perceptron

from keras_port import datasets
from tests.examples.small_data import check_results
from tests.examples.small_data import read_results
from tests.examples.small_data import same_models
from tests.examples.small_data import short_settings
from tests.examples.small_data import without_times

ROOT = Path(__file__).parents[2]


def test_a_run_leaves_its_results(tmp_path: Path, data_dir: Path) -> None:
    settings = short_settings(tmp_path / "run", data_dir)
    results = train_perceptron.train_perceptron(**settings)
    check_results(tmp_path / "run", results)
    assert (results.steps, results.ended_by) == (4, "max_steps")
    assert results.best_step in (2, 4)
    assert results.dataset == str(data_dir)


@pytest.mark.slow
def test_a_seed_gives_one_training_to_the_bit(
    tmp_path: Path, data_dir: Path
) -> None:
    first, again, other = (
        train_perceptron.train_perceptron(
            **short_settings(tmp_path / name, data_dir, seed=seed)
        )
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert without_times(first) == without_times(again)
    assert same_models(tmp_path / "a", tmp_path / "b")
    assert not same_models(tmp_path / "a", tmp_path / "c")
    assert other.steps == 4


@pytest.mark.slow
def test_images_in_their_files_train_the_same_and_take_a_run_over(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped: list[bool] = []
    load = datasets.load_mnist

    def load_mnist(folder: Path, *, mmap: bool) -> datasets.Splits:
        mapped.append(mmap)
        return load(folder, mmap=mmap)

    monkeypatch.setattr(datasets, "load_mnist", load_mnist)
    for name, mmap, steps in (
        ("a", False, 4),
        ("b", True, 4),
        ("a", False, 8),
        ("b", False, 8),
    ):
        train_perceptron.train_perceptron(
            **short_settings(
                tmp_path / name, data_dir, mmap=mmap, max_steps=steps
            )
        )
    assert mapped == [False, True, False, False]
    assert same_models(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_a_longer_run_goes_on_and_ends_as_one_without_a_pause(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_perceptron.train_perceptron(
        **short_settings(tmp_path / "a", data_dir)
    )
    assert "Resuming" not in capsys.readouterr().out
    resumed = train_perceptron.train_perceptron(
        **short_settings(tmp_path / "a", data_dir, max_steps=8)
    )
    out = capsys.readouterr().out
    assert f"Resuming {tmp_path / 'a'} from step 4.\n" in out
    plain = train_perceptron.train_perceptron(
        **short_settings(tmp_path / "b", data_dir, max_steps=8)
    )
    assert without_times(resumed) == without_times(plain)
    assert same_models(tmp_path / "a", tmp_path / "b")


def test_a_finished_run_is_left_as_it_is(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = short_settings(tmp_path / "run", data_dir)
    results = train_perceptron.train_perceptron(**settings)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    capsys.readouterr()
    assert train_perceptron.train_perceptron(**settings) == results
    assert capsys.readouterr().out == (
        f"{tmp_path / 'run'} is finished; there is nothing left to do.\n"
    )
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == files


def test_a_run_that_stopped_early_is_not_made_longer(
    tmp_path: Path, data_dir: Path
) -> None:
    settings = short_settings(
        tmp_path, data_dir, learning_rate=0.0, patience=1, max_steps=20
    )
    results = train_perceptron.train_perceptron(**settings)
    assert (results.steps, results.ended_by) == (4, "early stopping")
    assert results.best_step == 2
    longer = settings | {"max_steps": 40}
    assert train_perceptron.train_perceptron(**longer) == results


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        *(
            pytest.param(change, marks=pytest.mark.slow)
            for change in (
                {"batch_size": 10},
                {"learning_rate": 0.02},
                {"patience": 3},
            )
        ),
    ],
    ids=str,
)
def test_a_folder_of_another_run_is_refused_in_one_line(
    tmp_path: Path, data_dir: Path, change: dict[str, float]
) -> None:
    settings = short_settings(tmp_path, data_dir)
    train_perceptron.train_perceptron(**settings)
    (name, value), *_ = change.items()
    text = f"{name} {settings[name]} there, {value} here"
    with pytest.raises(ValueError, match=re.escape(text)) as error:
        train_perceptron.train_perceptron(**(settings | change))
    assert "\n" not in str(error.value)


def test_the_intermediate_values_are_those_of_lesson_1(
    mnist: datasets.Splits,
) -> None:
    model = train_perceptron.build_model(0.01)
    x, y = mnist.train[:5].next_batch(5)
    values = train_perceptron.compute_intermediate_values(model, x, y)
    # All weights are 0: each class gets a tenth, and the loss is the mean of
    # log(10) over one in ten elements.
    np.testing.assert_array_equal(values["x W"], np.zeros((5, 10)))
    np.testing.assert_array_equal(values["x W + b"], np.zeros((5, 10)))
    np.testing.assert_allclose(values["y"], np.full((5, 10), 0.1), rtol=1e-6)
    np.testing.assert_allclose(values["y_ log y"], y * np.log(0.1), rtol=1e-6)
    np.testing.assert_allclose(values["loss"], np.log(10) / 10, rtol=1e-6)
    np.testing.assert_array_equal(
        values["correct prediction"], y.argmax(axis=1) == 0
    )


def test_the_command_alone_gives_the_numbers_of_the_course(
    tmp_path: Path,
) -> None:
    # From a folder that is not the checkout, with no flag at all.
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "train_perceptron.py")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    # All outputs are equal: each image is taken for a 0, of which there are
    # 980 in 10,000.
    assert "Before training: test accuracy 0.0980.\n" in ended.stdout
    results = read_results(tmp_path / "runs" / "perceptron")
    assert results["steps"] == 1000
    assert 0.785 < results["test_accuracy"] < 0.800
    last = ended.stdout.splitlines()[-1]
    assert last.startswith("Ended by max_steps at step 1,000 after ")
    assert last.endswith(f"test accuracy {results['test_accuracy']:.4f}.")


@pytest.mark.parametrize(("begun", "threads"), [("", 1), ("tf.zeros(1)", 0)])
def test_one_thread_per_operation(begun: str, threads: int) -> None:
    code = f"""
import train_perceptron
import tensorflow as tf
{begun}
train_perceptron.use_one_thread_per_operation()
print(tf.config.threading.get_intra_op_parallelism_threads())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "examples",
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(ended.stdout) == threads
