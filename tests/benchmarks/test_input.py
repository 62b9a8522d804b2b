"""The benchmark of the batches runs and reports what it says."""

import pathlib

import numpy as np

from benchmarks import input as input_benchmark
from keras_port import datasets
from tests.benchmarks.small_work import small_data


def test_each_kind_is_measured(small_mnist: datasets.Splits) -> None:
    images = small_data(small_mnist).train
    [table] = input_benchmark.measure(images, 4, steps=2, rounds=1).tables
    assert list(table.values) == ["keras_port", "next_batch", "tf_data"]
    assert all(value > 0 for [value] in table.values.values())
    assert table.title == "Batches of 4 from 40 images"


def test_a_mapped_file_is_measured_where_there_is_a_folder(
    small_mnist: datasets.Splits, tmp_path: pathlib.Path
) -> None:
    images = small_data(small_mnist).train
    [table] = input_benchmark.measure(
        images, 4, steps=2, rounds=1, folder=tmp_path
    ).tables
    assert list(table.values)[3:] == ["mapped"]
    assert all(value > 0 for value in table.values["mapped"])


def test_the_mapped_file_deals_the_same_batches(
    small_mnist: datasets.Splits, tmp_path: pathlib.Path
) -> None:
    images = small_data(small_mnist).train
    kinds = input_benchmark.make_samplers(images, 4, tmp_path)
    for array, same in zip(
        kinds["keras_port"](), kinds["mapped"](), strict=True
    ):
        np.testing.assert_array_equal(array, same)


def test_each_kind_draws_the_same_kind_of_batch(
    small_mnist: datasets.Splits, tmp_path: pathlib.Path
) -> None:
    images = small_data(small_mnist).train
    for draw in input_benchmark.make_samplers(images, 4, tmp_path).values():
        x, y = draw()
        assert np.size(x) == 4 * 784
        assert len(y) == 4
        assert 0 <= np.min(x) < np.max(x) <= 1
