"""Small data and short runs for the scripts."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_port import datasets
from keras_port import runs
from tests.datasets.idx_files import write_folder
from tests.small import same_weights

# What design.md promises to whoever reads results.json, and why it ended.
RESULT_KEYS = [
    "steps",
    "best_step",
    "validation_accuracy",
    "test_accuracy",
    "seconds",
    "examples_per_second",
    "dataset",
    "ended_by",
]
# These differ from run to run.
TIMES = ("seconds", "examples_per_second")


def write_small_mnist(folder: Path, mnist: datasets.Splits) -> Path:
    """Writes 400 training, 5,000 validation and 200 test images.

    The scripts set 5,000 images aside for validation, so there is no less.
    """
    images = [mnist.validation.images, mnist.train.images[:400]]
    labels = [mnist.validation.labels, mnist.train.labels[:400]]
    arrays = [
        np.concatenate(images),
        np.concatenate(labels),
        mnist.test.images[:200],
        mnist.test.labels[:200],
    ]
    return write_folder(folder, arrays)


def short_settings(
    workdir: Path, data_dir: Path | None, **changes: Any
) -> dict[str, Any]:
    """Returns the arguments of a run of four steps, validated every two."""
    return {
        "workdir": workdir,
        "data_dir": data_dir,
        "batch_size": 20,
        "max_steps": 4,
        "eval_freq": 2,
        "patience": 20,
        "learning_rate": 0.01,
        "seed": 1,
        **changes,
    }


def read_results(workdir: Path) -> dict[str, Any]:
    """Returns what a run has left in `results.json`."""
    results: dict[str, Any] = json.loads(
        (workdir / "results.json").read_text("utf-8")
    )
    return results


def without_times(results: runs.Results) -> dict[str, Any]:
    """Returns what two equal runs have in common."""
    content = dataclasses.asdict(results)
    return {name: v for name, v in content.items() if name not in TIMES}


def same_models(left: Path, right: Path) -> bool:
    """Tells whether two runs have kept the same weights, to the bit."""
    models = [
        keras.saving.load_model(workdir / "model.keras")
        for workdir in (left, right)
    ]
    return same_weights(
        *[
            [
                np.asarray(v)
                for v in [*model.variables, *model.optimizer.variables]
            ]
            for model in models
        ]
    )


def check_results(workdir: Path, results: runs.Results) -> None:
    """Checks that `results.json` holds what the function has returned."""
    content = read_results(workdir)
    assert list(content) == RESULT_KEYS
    assert content == dataclasses.asdict(results)
    assert content["seconds"] > 0
    for name in ("validation_accuracy", "test_accuracy"):
        assert 0 <= content[name] <= 1
    # And, where TensorBoard is told, logs/.
    assert {path.name for path in workdir.iterdir()} - {"logs"} == {
        "history.csv",
        "model.keras",
        "results.json",
        "run.json",
        "state",
    }
