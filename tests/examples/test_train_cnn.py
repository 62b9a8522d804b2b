"""Lesson 3 trains, ends in order at Ctrl-C, and goes on to the same bits."""

from collections.abc import Iterator
import contextlib
import math
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import IO
from typing import Any
from typing import NamedTuple

import cli
import keras
import numpy as np
import pytest
import train_cnn
import train_cnn_fast

from keras_port import runs
from keras_port.checkpoints import read_record
from tests.examples.conftest import RunScript
from tests.examples.small_data import check_results
from tests.examples.small_data import read_results
from tests.examples.small_data import same_models
from tests.examples.small_data import short_settings
from tests.examples.small_data import without_times

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("small_validation")
@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)]
)
def test_a_run_leaves_its_results(
    tmp_path: Path, data_dir: Path, precision: str
) -> None:
    settings = short_settings(tmp_path / "run", data_dir, max_steps=2)
    results = train_cnn.train_cnn(**settings, precision=precision)
    check_results(tmp_path / "run", results)
    assert (results.steps, results.best_step) == (2, 2)
    assert results.ended_by == "max_steps"
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert model.get_layer("fc1").compute_dtype == precision
    with pytest.raises(ValueError, match=r"another run \(precision"):
        train_cnn.train_cnn(
            **settings,
            precision="bfloat16" if precision == "float32" else "float32",
        )


@pytest.mark.slow
@pytest.mark.usefixtures("small_validation")
def test_a_longer_run_goes_on_and_ends_as_one_without_a_pause(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_cnn.train_cnn(**short_settings(tmp_path / "a", data_dir, max_steps=2))
    resumed = train_cnn.train_cnn(**short_settings(tmp_path / "a", data_dir))
    assert f"Resuming {tmp_path / 'a'} from step 2." in capsys.readouterr().out
    plain = train_cnn.train_cnn(**short_settings(tmp_path / "b", data_dir))
    assert without_times(resumed) == without_times(plain)
    assert same_models(tmp_path / "a", tmp_path / "b")


@pytest.mark.usefixtures("small_validation")
def test_the_fast_recipe_has_its_own_way(
    tmp_path: Path, data_dir: Path
) -> None:
    settings = short_settings(tmp_path / "run", data_dir, max_steps=2)
    results = train_cnn.train_cnn(
        **settings, **train_cnn_fast.get_differences(2)
    )
    check_results(tmp_path / "run", results)
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    rate = model.optimizer.get_config()["learning_rate"]
    assert rate["class_name"] == "CosineDecay"
    assert rate["config"]["decay_steps"] == 1.6
    assert model.get_layer("dropout").rate == 0.25
    longer = short_settings(tmp_path / "run", data_dir, max_steps=4)
    with pytest.raises(ValueError, match="cycle_steps 2 there, 4 here"):
        train_cnn.train_cnn(**longer, **train_cnn_fast.get_differences(4))
    with pytest.raises(ValueError, match="recipe fast there, course here"):
        train_cnn.train_cnn(**settings)


def test_the_rate_of_the_fast_recipe_is_one_cycle() -> None:
    rate = train_cnn_fast.one_cycle(3e-3, 900)
    found = [float(rate(step)) for step in range(901)]

    def cosine(start: float, end: float, part: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    # It rises along a line to step 180, and falls along a cosine.
    expected = [
        3e-3 / 25 + (3e-3 - 3e-3 / 25) * step / 180
        if step <= 180
        else cosine(3e-3, 0.0, (step - 180) / 720)
        for step in range(901)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Returns a list of the arguments of every training, which is left out."""
    taken: list[dict[str, Any]] = []

    def train(**arguments: Any) -> runs.Results:
        taken.append(arguments)
        return runs.Results(7, 7, 0.5, 0.5, 1.0, 1.0, "", "max_steps")

    monkeypatch.setattr(train_cnn, "train_cnn", train)
    return taken


def test_the_flags_of_the_fast_recipe_have_other_defaults(
    run_script: RunScript, taken: list[dict[str, Any]]
) -> None:
    assert run_script(train_cnn).code == 0
    assert run_script(train_cnn, "--recipe=fast").code == 0
    course, fast = taken
    assert (course["max_steps"], course["eval_freq"]) == (20_000, 100)
    assert (fast["max_steps"], fast["eval_freq"]) == (900, 900)
    assert (fast["batch_size"], fast["learning_rate"]) == (300, 3e-3)
    assert set(fast) - set(course) == {"build_model", "max_shift", "recipe"}
    assert fast["recipe"] == {"recipe": "fast", "cycle_steps": 900}


def test_flags_that_were_given_stay_and_others_come_from_the_recipe(
    run_script: RunScript, taken: list[dict[str, Any]]
) -> None:
    ended = run_script(
        train_cnn, "--recipe=fast", "--max_steps=7", "--eval_freq=100"
    )
    assert ended.code == 0
    [arguments] = taken
    assert (arguments["max_steps"], arguments["eval_freq"]) == (7, 100)
    assert arguments["batch_size"] == 300
    assert arguments["learning_rate"] == 3e-3


@pytest.mark.parametrize(
    ("has", "flag", "expected"),
    [
        (True, [], "bfloat16"),
        (False, [], "float32"),
        (True, ["--precision=float32"], "float32"),
        (False, ["--precision=bfloat16"], "bfloat16"),
    ],
)
def test_the_fast_recipe_uses_bfloat16_where_it_is_fast(
    has: bool,
    flag: list[str],
    expected: str,
    run_script: RunScript,
    taken: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "has_bfloat16", lambda: has)
    run_script(train_cnn, "--recipe=fast", *flag)
    run_script(train_cnn, *flag)
    fast, course = taken
    assert fast["precision"] == expected
    assert course["precision"] == (expected if flag else "float32")


class Interrupted(NamedTuple):
    """A run that Ctrl-C has ended."""

    workdir: Path
    code: int
    out: str
    err: str


@contextlib.contextmanager
def started(workdir: Path, data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Starts the script in a process of its own, as `short_settings` has it."""
    with subprocess.Popen(
        [
            sys.executable,
            *("-u", str(ROOT / "examples" / "train_cnn.py")),
            *(f"--workdir={workdir}", f"--data_dir={data_dir}"),
            *("--batch_size=20", "--eval_freq=2", "--learning_rate=0.01"),
        ],
        cwd=workdir.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def read_to(stream: IO[str] | None, text: str) -> str:
    """Returns the lines up to one with this text, which must come."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"{text!r} did not come:\n{''.join(lines)}")


@pytest.fixture(scope="module")
def interrupted(
    tmp_path_factory: pytest.TempPathFactory, data_dir: Path
) -> Interrupted:
    """Presses Ctrl-C in a training that has passed a validation."""
    workdir = tmp_path_factory.mktemp("interrupted") / "run"
    with started(workdir, data_dir) as process:
        before = read_to(process.stdout, "val_accuracy")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    return Interrupted(workdir, process.returncode, before + out, err)


def test_ctrl_c_ends_in_order_with_the_best_model_kept(
    interrupted: Interrupted,
) -> None:
    assert interrupted.code == 0, interrupted.err
    assert "SIGINT: ending after this step." in interrupted.err
    assert "Traceback" not in interrupted.err
    results = read_results(interrupted.workdir)
    assert results["ended_by"] == "SIGINT"
    assert 2 <= results["steps"] < 1000
    record = read_record(interrupted.workdir / "model.keras")
    assert record is not None
    assert record.step == results["best_step"]
    assert record.value == pytest.approx(results["validation_accuracy"])
    last = interrupted.out.splitlines()[-1]
    assert last.startswith(f"Ended by SIGINT at step {results['steps']} after")


def test_the_same_command_resumes_and_a_second_ctrl_c_ends_at_once(
    interrupted: Interrupted, data_dir: Path
) -> None:
    step = read_results(interrupted.workdir)["steps"]
    model = interrupted.workdir / "model.keras"
    before = read_record(model)
    with started(interrupted.workdir, data_dir) as process:
        read_to(process.stdout, f"from step {step}.")
        # The handlers are there when the first line of the training is.
        read_to(process.stderr, f"Resumed from step {step}.")
        process.send_signal(signal.SIGINT)
        read_to(process.stderr, "SIGINT: ending after this step.")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "train_cnn.py: Stopped at once. The same command resumes."
    )
    assert "Traceback" not in err
    after = read_record(model)
    assert before is not None
    assert after is not None
    assert after.value >= before.value


@pytest.mark.slow
def test_after_ctrl_c_it_goes_on_to_the_weights_of_one_without(
    interrupted: Interrupted, data_dir: Path, tmp_path: Path
) -> None:
    steps = 2 * (read_results(interrupted.workdir)["steps"] // 2 + 1)
    resumed, plain = (
        train_cnn.train_cnn(
            **short_settings(workdir, data_dir, max_steps=steps)
        )
        for workdir in (interrupted.workdir, tmp_path)
    )
    assert without_times(resumed) == without_times(plain)
    assert same_models(interrupted.workdir, tmp_path)
