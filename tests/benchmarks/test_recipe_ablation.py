"""The benchmark of the fast recipe's parts runs and reports."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import recipe_ablation
from keras_port import datasets
from tests.examples.small_data import write_small_mnist


@pytest.mark.slow
def test_each_kind_is_trained(tmp_path: Path, mnist: datasets.Splits) -> None:
    data_dir = write_small_mnist(tmp_path, mnist)
    tiny = dataclasses.replace(
        recipe_ablation.FAST,
        batch_size=4,
        hard_examples=2,
        warmup_batches=1,
        max_steps=2,
        precision="float32",
    )
    every = dataclasses.replace(tiny, hard_examples=None)
    kinds = {"tiny": tiny, "all": every}
    accuracy, seconds = recipe_ablation.measure(
        kinds, seeds=1, data_dir=data_dir
    ).tables
    assert list(accuracy.values) == list(seconds.values) == list(kinds)
    assert all(0 <= value <= 1 for [value] in accuracy.values.values())


def test_each_change_changes_the_recipe() -> None:
    all_parts, *changed = recipe_ablation.CHANGES.values()
    assert not all_parts
    for change in changed:
        assert dataclasses.replace(recipe_ablation.FAST, **change) != (
            recipe_ablation.FAST
        )
