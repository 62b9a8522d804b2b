"""Lesson 2 leaves every curve that the course promised."""

from collections.abc import Callable
from pathlib import Path

import perceptron_tensorboard
import pytest
import tensorflow as tf

from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import events
from tests.examples.conftest import RunScript


def steps_by_tag(folder: Path) -> dict[str, list[int]]:
    """Returns the steps at which each curve of a run has a value."""
    steps: dict[str, list[int]] = {}
    for path in event_files(folder):
        for _, event in events(path):
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
    return steps


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder that the tests of this module share."""
    return tmp_path_factory.mktemp("run") / "curves"


def test_it_writes_what_lesson_2_shows(
    run_script: RunScript, data_dir: Path, workdir: Path
) -> None:
    ended = run_script(
        perceptron_tensorboard,
        f"--data_dir={data_dir}",
        f"--workdir={workdir}",
        "--max_steps=10",
        "--histogram_freq=5",
    )
    assert ended.code == 0, ended
    assert f"tensorboard --logdir {workdir}" in ended.out
    train = steps_by_tag(workdir / "train")
    assert train["cross_entropy"] == list(range(1, 11))
    assert train["fc/kernel"] == train["fc/bias"] == [1, 5, 10]
    # The curve that the course's own code left empty.
    assert steps_by_tag(workdir / "test")["accuracy"] == [5, 10]


def test_the_graph_has_the_scopes_of_the_slides(workdir: Path) -> None:
    graphs = [
        tf.compat.v1.GraphDef.FromString(event.graph_def)
        for path in event_files(workdir / "train")
        for _, event in events(path)
        if event.graph_def
    ]
    assert len(graphs) == 1
    scopes = {node.name.partition("/")[0] for node in graphs[0].node}
    assert {"fc", "cross_entropy", "gradients", "trainer"} <= scopes
    assert "evaluator" in scopes


@pytest.mark.slow
def test_a_second_run_is_refused_or_replaces_the_first(
    run_script: RunScript,
    fails_in_one_line: Callable[..., str],
    data_dir: Path,
    workdir: Path,
) -> None:
    arguments = [
        f"--data_dir={data_dir}",
        f"--workdir={workdir}",
        "--max_steps=5",
    ]
    line = fails_in_one_line(perceptron_tensorboard, *arguments, code=1)
    assert "two runs would be mixed" in line
    ended = run_script(perceptron_tensorboard, *arguments, "--overwrite")
    assert ended.code == 0, ended
    steps = steps_by_tag(workdir / "train")["cross_entropy"]
    assert steps == [1, 2, 3, 4, 5]
