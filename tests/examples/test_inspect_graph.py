"""Lesson 2b looks at graphs without TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import inspect_graph
import keras
import numpy as np
import pytest

from keras_port import datasets
from keras_port import models


def test_the_small_graph_is_that_of_the_lesson() -> None:
    text = inspect_graph.describe(inspect_graph.build_small_graph(), ["x3:0"])
    assert text.splitlines() == [
        "operation x1, type Const",
        "operation x2, type Const",
        "operation W1, type VarHandleOp",
        "operation W1/read, type ReadVariableOp",
        "operation x3, type AddV2",
        "operation W2, type VarHandleOp",
        "operation W2/read, type ReadVariableOp",
        "operation mul, type Mul",
        "operation x4, type Identity",
        "x3:0 = [2. 1.]",
        "variable W1, shape (2,): [1. 1.]",
        "variable W2, shape (2,): [0. 0.]",
    ]


def test_a_tensor_of_a_model_is_the_layers(
    mnist: datasets.Splits, tmp_path: Path
) -> None:
    model = models.build_perceptron(input_shape=(28, 28))
    model.layers[-2].bias.assign(np.arange(10) / 10)
    image = mnist.test.images[0]
    value = inspect_graph.inspect_model(
        model, image.reshape(784), tmp_path / "new", tensor="fc:0"
    )
    part = keras.Model(model.input, model.get_layer("fc").output)
    np.testing.assert_array_equal(value, part(image[None] / np.float32(255)))
    scores = inspect_graph.inspect_model(model, image.reshape(784), tmp_path)
    np.testing.assert_allclose(scores, model(image[None]), rtol=1e-6)


def test_the_script_prints_and_writes_the_graph(
    run_script: Callable[..., tuple[object, str, str]],
    data_dir: Path,
    tmp_path: Path,
) -> None:
    arguments = [f"--data_dir={data_dir}", f"--workdir={tmp_path}"]
    code, out, _ = run_script(
        inspect_graph, *arguments, "--tensor=conv1/relu:0", "--training"
    )
    assert code == 0
    lines = out.splitlines()
    assert "x3:0 = [2. 1.]" in lines
    assert "variable conv1/kernel, shape (5, 5, 1, 32)" in lines
    assert lines[-2].startswith(
        "conv1/relu:0, type Relu, shape (None, 28, 28, 32): float32 "
        "(1, 28, 28, 32) from 0.000000 to "
    )
    page = tmp_path / "graph.html"
    assert lines[-1] == f"Open {page} in a browser to see the graph."
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    text = (tmp_path / "graph.txt").read_text("utf-8")
    assert "dropout/stateless_dropout" in text


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--tensor=conv1/rleu:0", "closest names are: 'conv1/relu:0'"),
        ("--model=nothing.keras", "nothing.keras"),
    ],
)
def test_a_wrong_name_is_one_line(
    run_script: Callable[..., tuple[object, str, str]],
    data_dir: Path,
    tmp_path: Path,
    flag: str,
    message: str,
) -> None:
    ended = run_script(
        inspect_graph, f"--data_dir={data_dir}", f"--workdir={tmp_path}", flag
    )
    assert ended[0] == 1
    assert message in ended[2]
    assert ended[2].count("\n") == 1
    assert not list(tmp_path.iterdir())
