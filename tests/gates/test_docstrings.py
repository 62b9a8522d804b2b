"""The examples in the docstrings run and print what they show."""

import doctest
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_port
from tests.gates import checkout
from tests.gates.public import CODE_NAMES
from tests.gates.public import NAMES

DATA = checkout.ROOT / "keras_port" / "datasets" / "mnist_data"


@pytest.fixture
def namespace(small_mnist: keras_port.datasets.Splits) -> dict[str, Any]:
    """Returns the names that an example may use without importing them."""
    model = keras_port.models.build_perceptron()
    model.compile(
        # Before Keras 3.15 it was called "SGD".
        optimizer=keras.optimizers.SGD(name="sgd"),
        loss=keras_port.losses.CourseCrossEntropy(),
        metrics=["accuracy"],
    )
    x, y = small_mnist.train[:100].next_batch(100)
    return {name.rpartition(".")[2]: value for name, value in NAMES.items()} | {
        "keras": keras,
        "keras_port": keras_port,
        "np": np,
        "tf": tf,
        "batches": keras_port.datasets.shuffled_batches(
            small_mnist.train, 100, seed=1
        ),
        "model": model,
        "splits": small_mnist,
        "x": x,
        "y": y,
    }


@pytest.mark.parametrize("name", CODE_NAMES)
def test_the_example_of_a_docstring_runs(
    name: str,
    namespace: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The files that examples read: MNIST here and a data set in $HOME.
    for path in DATA.glob("*.gz"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fashion-mnist").symlink_to(DATA)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    finder = doctest.DocTestFinder(recurse=False)
    for test in finder.find(NAMES[name], name, globs=namespace):
        result = runner.run(test)
        assert not result.failed, capsys.readouterr().out
