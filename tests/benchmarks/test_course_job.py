"""Each kind does the whole job of two steps."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import course_job
from benchmarks.peers import tf1_job
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from keras_port import datasets
from tests.benchmarks.flag_values import flag_values
from tests.benchmarks.small_work import small_data

TWO_STEPS = Work(batch_size=4, steps=2, eval_freq=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", course_job.KINDS)
def test_a_kind_does_the_job(kind: str, small_mnist: datasets.Splits) -> None:
    module, name = course_job.KINDS[kind].function.split(":")
    peer = importlib.import_module(f"benchmarks.peers.{module}")
    assert getattr(peer, name)(TWO_STEPS, small_data(small_mnist))() > 0


def test_the_session_stops_early_and_tests_its_best_weights(
    small_mnist: datasets.Splits, tmp_path: Path
) -> None:
    images = small_data(small_mnist, 4).train
    # What can be learned by heart: right from some step on, never better.
    outcome = tf1_job.train(
        Work(batch_size=4, steps=400, eval_freq=10),
        Mnist(images, images, images),
        tmp_path,
        patience=3,
    )
    assert outcome.validation_accuracy == outcome.test_accuracy == 1
    assert outcome.steps == outcome.best_step + 30


def test_the_script_of_the_session_leaves_its_results(
    small_mnist: datasets.Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = small_data(small_mnist)
    monkeypatch.setattr(tf1_job.peers_work, "load_mnist", lambda: data)
    with flag_values(workdir=str(tmp_path), seed=1, max_steps=2):
        tf1_job.main([])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["steps"] == 2
    assert 0 <= results["test_accuracy"] <= 1
