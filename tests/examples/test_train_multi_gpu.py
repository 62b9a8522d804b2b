"""Lesson 4 trains on several devices to the numbers of one."""

from pathlib import Path

import keras
import numpy as np
import pytest
import train_cnn
import train_multi_gpu

from keras_port import training
from tests.examples.conftest import RunScript
from tests.examples.small_data import check_results
from tests.examples.small_data import read_results
from tests.examples.small_data import short_settings


@pytest.mark.usefixtures("small_validation")
@pytest.mark.parametrize(
    "scheme", ["mirrored", pytest.param("towers", marks=pytest.mark.slow)]
)
def test_a_run_leaves_its_results(
    tmp_path: Path, data_dir: Path, scheme: str
) -> None:
    settings = short_settings(tmp_path / "run", data_dir, max_steps=2)
    results = train_multi_gpu.train_multi_gpu(
        **settings, num_devices=2, scheme=scheme
    )
    check_results(tmp_path / "run", results)
    assert (results.steps, results.ended_by) == (2, "max_steps")
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    assert isinstance(model, training.GradientModel)


@pytest.mark.slow
@pytest.mark.usefixtures("small_validation")
def test_the_batch_size_is_that_of_a_device(
    tmp_path: Path, data_dir: Path, run_script: RunScript
) -> None:
    workdir = tmp_path / "run"
    ended = run_script(
        train_multi_gpu,
        *(f"--workdir={workdir}", f"--data_dir={data_dir}"),
        *("--batch_size=8", "--num_devices=2", "--max_steps=2"),
        *("--eval_freq=2", "--scheme=towers"),
    )
    assert ended.code is None or ended.code == 0, ended
    assert '"batch_size": 16' in (workdir / "run.json").read_text("utf-8")
    last = ended.out.splitlines()[-1]
    seconds = read_results(workdir)["seconds"]
    assert last == f"2 devices, towers: total time {seconds:,.1f} s."


@pytest.mark.slow
@pytest.mark.usefixtures("small_validation")
def test_the_cnn_goes_on_with_another_number_of_devices(
    tmp_path: Path, data_dir: Path
) -> None:
    for workdir, devices in (("a", (2, 1)), ("b", (1, 1))):
        for steps, count in zip((2, 4), devices, strict=True):
            settings = short_settings(
                tmp_path / workdir, data_dir, max_steps=steps
            )
            train_cnn.train_cnn(**settings, num_devices=count)
    ours, theirs = (
        keras.saving.load_model(tmp_path / workdir / "model.keras")
        for workdir in "ab"
    )
    for one, other in zip(
        ours.get_weights(), theirs.get_weights(), strict=True
    ):
        # The gradients of float32, added up in another order.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)
