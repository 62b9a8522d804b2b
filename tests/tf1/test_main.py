"""The command lists and converts, and its errors are one line."""

from pathlib import Path
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_port.models import build_cnn
from keras_port.tf1 import list_variables
from keras_port.tf1.__main__ import main
from tests.tf1.sessions import GOLDEN
from tests.tf1.sessions import counted
from tests.tf1.sessions import small_model
from tests.tf1.sessions import train
from tests.tf1.sessions import write

GOLDEN_FOLDER = str(GOLDEN / "version_2")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs each test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_list_shows_each_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", GOLDEN_FOLDER]) == 0
    assert capsys.readouterr().out == (
        "W (784, 10) float32, weight\nb (10,) float32, weight\n"
    )


def test_a_checkpoint_goes_to_keras_and_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["to-keras", GOLDEN_FOLDER, "p.keras", "--model", "perceptron"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "fc/kernel <- W" in shown
    assert "written: p.keras" in shown
    model = keras.saving.load_model("p.keras")
    assert np.array_equal(model.weights[0], counted(784, 10))
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert main(["to-tf1", "p.keras", "new/model.ckpt"]) == 0
    shown = capsys.readouterr().out
    assert "fc/kernel -> W" in shown
    assert "feed images:0" in shown
    assert [v.name for v in list_variables("new")] == [
        "W",
        "b",
        "global_step",
    ]


def test_the_optimizer_of_a_file_is_carried() -> None:
    model = small_model("adam")
    train(model, 3)
    model.save("small.keras")
    assert main(["to-tf1", "small.keras", "m", "--names", "numbered"]) == 0
    fresh = small_model("adam")
    fresh.save("fresh.keras")
    words = ["to-keras", "m", "out.keras", "--model", "fresh.keras"]
    assert main(words) == 0
    loaded = keras.saving.load_model("out.keras")
    assert int(loaded.optimizer.iterations) == 3
    assert main([*words, "--step", "9"]) == 0
    loaded = keras.saving.load_model("out.keras")
    assert int(loaded.optimizer.iterations) == 9


def test_options_reach_the_functions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(Path("m"), {"p": counted(784, 10), "q": counted(10)})
    words = ["to-keras", "m", "p.keras", "--model", "perceptron"]
    maps = ["--map", "fc/kernel=p", "--map", "fc/bias=q"]
    assert main([*words, *maps]) == 0
    assert "matched by map" in capsys.readouterr().out
    assert main([*words, "--match", "name"]) == 1
    assert main([*words, "--match", "name", "--partial"]) == 0
    capsys.readouterr()
    words = ["to-tf1", "p.keras", "new", "--weights-only", "--variables-only"]
    assert main([*words, "--map", "fc/kernel=x", "--map", "fc/bias=y"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "new: step count none",
        "  fc/kernel -> x",
        "  fc/bias -> y",
    ]


def test_one_of_two_networks_is_converted() -> None:
    values = {
        f"{scope}/fc/{leaf}": counted(*shape, start=start)
        for start, scope in enumerate(("target", "eval"))
        for leaf, shape in (("W", (784, 10)), ("b", (1, 10)))
    }
    write(Path("m"), values)
    words = ["to-keras", "m", "p.keras", "--model", "perceptron"]
    assert main(words) == 1
    assert main([*words, "--scope", "eval"]) == 0
    model = keras.saving.load_model("p.keras")
    assert np.array_equal(model.weights[1], counted(10, start=1))


def test_a_file_goes_back_like_an_old_checkpoint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = {
        "net/weights": counted(784, 10),
        "net/biases": counted(1, 10),
        "other/weights": counted(2, 2),
        "is_training": np.bool_(True),
    }
    write(Path("old/m"), values, meta=True)
    words = ["to-keras", "old", "p.keras", "--model", "perceptron"]
    assert main(words) == 0
    words = ["to-tf1", "p.keras", "new/m", "--like", "old"]
    assert main([*words, "--scope", "net"]) == 0
    shown = capsys.readouterr().out
    assert "  fc/bias -> net/biases\n  kept from the old checkpoint: 2" in shown
    assert list_variables("new") == list_variables("old")
    assert Path("new/m.meta").read_bytes() == Path("old/m.meta").read_bytes()
    maps = ["--map", "fc/kernel=net/weights", "--map", "fc/bias=net/biases"]
    assert main([*words, *maps]) == 0
    assert main([*words, "--names", "letters"]) == 1
    assert "`names` is `--names` or `--map`" in capsys.readouterr().err


def test_the_cnn_takes_weights_alone_when_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ["Variable", *(f"Variable_{number}" for number in range(1, 8))]
    weights = build_cnn().weights
    write(
        Path("m"),
        {n: counted(*w.shape) for n, w in zip(names, weights, strict=True)},
    )
    words = ["to-keras", "m", "cnn.keras", "--model", "cnn"]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "adam/conv1/kernel/momentum" in error
    assert "`include_optimizer` is `--weights-only`" in error
    assert "`strict` is `--partial`" in error
    assert not Path("cnn.keras").exists()
    assert main([*words, "--weights-only"]) == 0
    loaded = keras.saving.load_model("cnn.keras")
    assert np.array_equal(loaded.weights[0], counted(5, 5, 1, 32))


@pytest.mark.parametrize(
    "words",
    [
        ["list", "nothing/here"],
        ["list", "broken.keras"],
        ["to-keras", "broken.keras", "x.keras", "--model", "cnn"],
        ["to-keras", GOLDEN_FOLDER, "x.keras", "--model", "mlp"],
        ["to-keras", GOLDEN_FOLDER, "x.keras", "--model", "broken.keras"],
        ["to-keras", GOLDEN_FOLDER, "x.keras", "--model", "none.keras"],
        ["to-keras", GOLDEN_FOLDER, "x.keras", "--model", "cnn"],
        [
            "to-keras",
            GOLDEN_FOLDER,
            "no/folder/x.keras",
            "--model",
            "perceptron",
        ],
        ["to-tf1", "broken.keras", "m"],
        ["to-tf1", "none.keras", "m"],
        ["to-tf1", "good.keras", "."],
        ["to-tf1", "good.keras", "/proc/keras_port/m"],
        ["to-tf1", "good.keras", "m", "--names", "letters"],
    ],
)
def test_an_error_is_one_line_and_exit_code_1(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.keras").write_bytes(b"PK\x03\x04 half of a file")
    if "good.keras" in words:
        small_model().save("good.keras")
    assert main(words) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert not Path("x.keras").exists()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["convert"],
        ["list"],
        ["to-keras", "m", "x.keras"],
        ["to-keras", "m", "x.h5", "--model", "cnn"],
        ["to-keras", "m", "x.keras", "--model", "cnn", "--map", "fc"],
        ["to-keras", "m", "x.keras", "--model", "cnn", "--step", "many"],
        ["to-tf1", "x.keras", "m", "--names", "words"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: python -m keras_port.tf1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["list"], ["to-keras"], ["to-tf1"]], ids=str
)
def test_each_command_explains_itself(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out) > 200


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "keras_port.tf1", "list", GOLDEN_FOLDER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in error
    assert "BrokenPipe" not in error


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keras_port.tf1", "list", "nothing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "error: There is no TensorFlow 1 checkpoint at nothing" in (
        done.stderr
    )
