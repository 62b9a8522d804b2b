"""Loads saved models in a process that knows nothing but the package."""

from collections.abc import Sequence
import dataclasses
import json
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

# `keras_port` is the only import that could make classes known.
SCRIPT = """
import json
import sys

import keras_port

import keras
import numpy as np

folder, *paths = sys.argv[1:]
data = np.load(f"{folder}/data.npz")
for number, path in enumerate(paths):
    model = keras.saving.load_model(path)
    bare = keras.saving.load_model(path, compile=False)
    np.savez(
        f"{folder}/{number}.npz",
        compiled=model.predict(data["x"], verbose=0),
        bare=bare.predict(data["x"], verbose=0),
    )
    gradient_model = keras_port.training.GradientModel
    record = {
        "results": model.evaluate(
            data["x"], data["y"], verbose=0, return_dict=True
        ),
        "class_name": type(model).__name__,
        "is_gradient_model": isinstance(model, gradient_model),
        "compile_config": model.get_compile_config(),
    }
    with open(f"{folder}/{number}.json", "w") as file:
        json.dump(record, file)
"""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What another process has made of a saved model.

    Args:
        outputs: Predictions of the compiled model.
        bare_outputs: Predictions of the model loaded with `compile=False`.
        results: What `evaluate` has returned, by name.
        class_name: Name of the model's class.
        is_gradient_model: Whether it is a `GradientModel`.
        compile_config: What `get_compile_config` has returned.
    """

    outputs: np.ndarray
    bare_outputs: np.ndarray
    results: dict[str, float]
    class_name: str
    is_gradient_model: bool
    compile_config: dict[str, Any]


def load_elsewhere(
    paths: Sequence[Path], x: np.ndarray, y: np.ndarray
) -> list[Loaded]:
    """Loads each model in one new process and tries it on the data."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/data.npz", x=x, y=y)
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, folder, *paths],
            check=False,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return [read(Path(folder), number) for number in range(len(paths))]


def read(folder: Path, number: int) -> Loaded:
    """Reads what the process has written of one model."""
    arrays = np.load(folder / f"{number}.npz")
    record = json.loads((folder / f"{number}.json").read_text())
    return Loaded(
        outputs=arrays["compiled"],
        bare_outputs=arrays["bare"],
        results=record["results"],
        class_name=record["class_name"],
        is_gradient_model=record["is_gradient_model"],
        compile_config=record["compile_config"],
    )
