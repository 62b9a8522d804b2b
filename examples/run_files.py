"""What lies in the folder of a run."""

import json
import pathlib
from typing import Any

import cli  # noqa: F401 (First: it sets what TensorFlow reads.)

from keras_port import checkpoints

MODEL_FILE = "model.keras"
RESULTS_FILE = "results.json"
RUN_FILE = "run.json"
STATE_FOLDER = "state"
LOG_FOLDER = "logs"


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns the content of a JSON file of a run."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is broken: {error}. Move it away, or choose another "
            "--workdir."
        ) from error
    return content


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Replaces a JSON file as a whole."""
    with checkpoints.atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
