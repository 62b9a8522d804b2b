"""The commands list graphs and make models of them."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_port.tf1.__main__ import main
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.sessions import Old
from tests.tf1.graph.sessions import run


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in a folder with nothing but the old files."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def old() -> Old:
    """Returns the course's CNN, in the folder `old`."""
    Path("old").mkdir()
    return run(programs.cnn, Mode("ref", "v1"), Path("old"))


def test_graph_lists_what_there_is(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", "old"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "x_ (None, 784) float32",
        "y (None, 10) float32",
        "keep_prob of unknown shape float32",
        "conv1/w (5, 5, 1, 4) float32, trained",
        "likely outputs: 2",
    ):
        assert part in shown


def test_graph_to_keras_writes_a_model_that_predicts_the_same(
    old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["graph-to-keras", "old", "out.keras", "--inputs", "x_"]
    words += ["--outputs", "y", "--feed", "keep_prob=0.5,1.0"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "graph_layer/conv1/w (5, 5, 1, 4) float32" in shown
    assert "safe_mode=False" in shown
    model = keras.saving.load_model("out.keras", safe_mode=False)
    np.testing.assert_array_equal(
        model.predict(old.arrays[0], verbose=0), old.predicted[0]
    )
    assert model.trainable_variables
    assert main([*words, "--trainable", "--checkpoint", "old/model.ckpt"]) == 0
    model = keras.saving.load_model("out.keras", safe_mode=False)
    assert not model.trainable_variables


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["graph", "nothing"], "no TensorFlow 1 graph"),
        (["graph-to-keras", "old", "--inputs", "x", "--outputs", "y"], "x_"),
        (
            ["graph-to-keras", "old", "--inputs", "x_", "--outputs", "y"],
            "'keep_prob' of type Placeholder needs a value in every step. Give "
            "it in `inputs` or `constants`. Here `constants` is `--feed`.",
        ),
    ],
)
def test_an_error_is_one_line_in_the_words_of_the_command(
    words: list[str], part: str, old: Old, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] == "graph-to-keras":
        words = [*words[:2], "out.keras", *words[2:]]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert part in shown.err
    assert not Path("out.keras").exists()


@pytest.mark.parametrize("text", ["keep_prob", "=1", "p=1,2,3", "p=x", "p="])
def test_a_wrong_feed_is_exit_code_2(text: str) -> None:
    words = ["graph-to-keras", "old", "o.keras", "--inputs", "x_"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--outputs", "y", "--feed", text])
    assert ended.value.code == 2


@pytest.mark.parametrize("command", ["graph", "graph-to-keras"])
def test_each_command_explains_itself(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out) > 200
