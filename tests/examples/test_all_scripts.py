"""What all scripts do with wrong input, and with the folder of a run."""

from collections.abc import Callable
import os
from pathlib import Path
import subprocess
import sys
from types import ModuleType

import load_cnn
import load_perceptron
import perceptron_gradients
import pytest
import train_cnn
import train_perceptron

from tests.datasets.idx_files import FOLDER_NAMES
from tests.datasets.idx_files import small_arrays
from tests.datasets.idx_files import write_folder

ROOT = Path(__file__).parents[2]
TRAININGS = [train_perceptron, train_cnn]
SCRIPTS = [*TRAININGS, perceptron_gradients, load_perceptron, load_cnn]
Fails = Callable[..., str]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "arguments",
    [["--unknown=1"], ["stray"], ["--data_dir"], ["--log_dir=x"]],
    ids=str,
)
def test_wrong_flags_are_one_line_and_code_2(
    fails_in_one_line: Fails, script: ModuleType, arguments: list[str]
) -> None:
    line = fails_in_one_line(script, *arguments, code=2)
    assert arguments[0].lstrip("-").split("=")[0] in line
    assert "See --help." in line


@pytest.mark.parametrize("script", [*TRAININGS, perceptron_gradients])
@pytest.mark.parametrize(
    "flag",
    [
        *("batch_size=0", "batch_size=x", "max_steps=0", "eval_freq=0"),
        *("learning_rate=-1", "learning_rate=nan", "learning_rate=inf"),
        "seed=-1",
    ],
)
def test_numbers_that_cannot_be_are_one_line_and_code_2(
    fails_in_one_line: Fails, script: ModuleType, flag: str
) -> None:
    line = fails_in_one_line(script, f"--{flag}", code=2)
    assert flag.split("=")[0] in line


@pytest.mark.parametrize("script", TRAININGS)
def test_patience_below_zero_is_refused(
    fails_in_one_line: Fails, script: ModuleType
) -> None:
    assert "patience" in fails_in_one_line(script, "--patience=-1", code=2)


@pytest.mark.parametrize("script", [*TRAININGS, perceptron_gradients])
@pytest.mark.parametrize("kind", ["missing", "file", "empty", "cut", "few"])
def test_broken_data_is_one_line_and_nothing_is_written(
    fails_in_one_line: Fails,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: ModuleType,
    kind: str,
) -> None:
    data = tmp_path / "data"
    if kind == "file":
        data.write_text("not a folder")
    elif kind != "missing":
        data.mkdir()
    if kind in ("cut", "few"):
        write_folder(data, small_arrays())  # Fewer than for validation.
    if kind == "cut":
        images = data / FOLDER_NAMES[0]
        images.write_bytes(images.read_bytes()[:-1])
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    line = fails_in_one_line(script, f"--data_dir={data}", code=1)
    assert "validation_size" in line if kind == "few" else str(data) in line
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.fault("B24")
@pytest.mark.parametrize("script", TRAININGS)
def test_a_workdir_that_cannot_be_written_is_one_line(
    fails_in_one_line: Fails,
    tmp_path: Path,
    data_dir: Path,
    script: ModuleType,
) -> None:
    (tmp_path / "file").write_text("in the way")
    line = fails_in_one_line(
        script,
        f"--workdir={tmp_path / 'file' / 'run'}",
        f"--data_dir={data_dir}",
        code=1,
    )
    assert f"{tmp_path / 'file' / 'run'} cannot be written to" in line


@pytest.mark.parametrize("script", [load_perceptron, load_cnn])
def test_a_run_that_is_not_there_is_one_line(
    run_script: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    data_dir: Path,
    script: ModuleType,
) -> None:
    code, _, err = run_script(
        script, f"--workdir={tmp_path / 'none'}", f"--data_dir={data_dir}"
    )
    assert code == 1
    assert err.count("\n") == 1
    assert f"no saved model at {tmp_path / 'none' / 'model.keras'}" in err


def test_the_real_command_writes_one_line_and_no_traceback(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "train_cnn.py"),
            "--data_dir=none",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "train_cnn.py: `data_dir` must be a directory, and none does not "
        "exist. Leave it out for the MNIST in the package\n"
    )
    assert list(tmp_path.iterdir()) == []
