"""The benchmark of many seeds trains, resumes its file, and compares."""

import dataclasses
import json
from pathlib import Path
import statistics

import numpy as np
import pytest

from benchmarks import seeds
from benchmarks.peers.work import Work
from benchmarks.seeds import Evaluation
from keras_port import datasets
from tests.benchmarks.flag_values import flag_values
from tests.benchmarks.small_work import small_data

WORK = Work(batch_size=4, steps=3, eval_freq=1)


@pytest.mark.slow
def test_each_kind_is_evaluated_late_in_the_training(
    tmp_path: Path, mnist: datasets.Splits
) -> None:
    output = tmp_path / "lines.jsonl"
    with flag_values(first_eval=2):
        seeds.measure(
            seeds.KINDS, WORK, small_data(mnist), seeds=1, output=output
        )
    lines = seeds.read(output)
    assert [(one.kind, one.seed, one.step) for one in lines] == [
        (kind, 1, step) for kind in seeds.KINDS for step in (2, 3)
    ]
    for one in lines:
        assert 0 <= one.validation_accuracy <= 1
        # Of 40 images.
        assert one.test_accuracy * 40 == pytest.approx(
            round(one.test_accuracy * 40)
        )
    assert seeds.summarize(seeds.complete_runs(lines, 3)).count("p = ") == 9


@pytest.mark.slow
def test_next_batch_gives_the_model_the_batches_of_the_session(
    mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []
    original = datasets.ImageSplit.next_batch

    def next_batch(
        split: datasets.ImageSplit, size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        x, y = original(split, size)
        if size == WORK.batch_size:
            given.append(x)
        return x, y

    monkeypatch.setattr(datasets.ImageSplit, "next_batch", next_batch)
    data, batches = small_data(mnist), []
    for kind in ("next_batch", "session"):
        given.clear()
        with flag_values(first_eval=3):
            list(seeds.KINDS[kind](WORK, data))
        batches.append(given[: WORK.steps])
    np.testing.assert_array_equal(*batches)


def test_complete_runs_are_skipped_and_others_start_again(
    tmp_path: Path,
    mnist: datasets.Splits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "lines.jsonl"
    started: list[tuple[str, int]] = []

    def quick(kind: str, accuracy: float) -> seeds.Accuracies:
        for step in (2, 3):
            yield step, accuracy, accuracy

    for kind in ("fit", "session"):

        def train(work: Work, _: object, kind: str = kind) -> seeds.Accuracies:
            started.append((kind, work.seed))
            return quick(kind, work.seed / 10)

        monkeypatch.setitem(seeds.KINDS, kind, train)
    lines = [
        Evaluation("fit", 1, 2, 0.5, 0.5, 1.0),
        Evaluation("fit", 1, 3, 0.5, 0.5, 2.0),
        Evaluation("session", 1, 2, 0.5, 0.5, 1.0),
    ]
    text = "".join(json.dumps(dataclasses.asdict(one)) + "\n" for one in lines)
    output.write_text(text)
    kinds = ("fit", "session")
    data = small_data(mnist)
    seeds.measure(kinds, WORK, data, seeds=2, output=output)
    assert started == [("session", 1), ("fit", 2), ("session", 2)]
    runs = seeds.complete_runs(seeds.read(output), 3)
    assert [one.test_accuracy for one in runs["session", 1]] == [0.1, 0.1]
    assert [one.test_accuracy for one in runs["fit", 1]] == [0.5, 0.5]
    started.clear()
    seeds.measure(kinds, WORK, data, seeds=2, output=output)
    assert not started


def test_a_line_that_was_cut_off_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert seeds.read(path) == []
    line = json.dumps(dataclasses.asdict(Evaluation("fit", 1, 2, 0.5, 0.5, 1)))
    path.write_text(f"{line}\n{line[:20]}")
    assert len(seeds.read(path)) == 1


def test_a_new_line_does_not_continue_one_that_was_cut_off(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lines.jsonl"
    one = Evaluation("fit", 1, 2, 0.5, 0.5, 1)
    path.write_text('{"kind": "fi')
    seeds.append(path, one)
    assert seeds.read(path) == [one]


def test_the_outcome_of_a_run_is_that_of_its_late_steps() -> None:
    run = [
        Evaluation("fit", 1, 1, 0.7, 0.5, 1.0),
        Evaluation("fit", 1, 2, 0.9, 0.6, 2.0),
        Evaluation("fit", 1, 3, 0.9, 0.8, 3.0),
        Evaluation("fit", 1, 4, 0.8, 0.7, 4.0),
    ]
    assert seeds.outcome(run) == seeds.Outcome(
        at_end=0.7, late_mean=statistics.mean([0.5, 0.6, 0.8, 0.7]), at_best=0.6
    )


def test_the_p_value_counts_the_divisions() -> None:
    # Of the 6 ways to divide four values, this one and its opposite.
    assert seeds.permutation_p_value([1, 2], [3, 4]) == pytest.approx(2 / 6)
    assert seeds.permutation_p_value([1, 2], [2, 1]) == 1
    # Of 20: this one and its opposite.
    assert seeds.permutation_p_value([0, 0, 0], [1, 1, 1]) == pytest.approx(0.1)


def test_many_divisions_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = [0.1, 0.4, 0.5, 0.9, 0.2], [0.6, 0.8, 0.3, 0.7, 1.0]
    exact = seeds.permutation_p_value(left, right)
    monkeypatch.setattr(seeds, "MOST_DIVISIONS", 250)
    # The standard deviation of a sampled part is at most 0.5 / sqrt(250).
    assert seeds.permutation_p_value(left, right) == pytest.approx(
        exact, abs=0.15
    )
