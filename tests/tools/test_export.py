"""The models in ONNX, LiteRT's own package, and Keras on JAX and PyTorch."""

import importlib.util
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from keras_port import datasets
from tests.models.exports import EXPORTS
from tests.models.exports import TOLERANCE
from tests.models.exports import build
from tests.models.exports import check_outputs
from tests.models.exports import get_images
from tests.models.exports import lite_run

# Loads a file where this package is not imported, and predicts.
LOAD = """
import sys

import numpy as np
import keras

assert keras.backend.backend() == sys.argv[1]
model = keras.saving.load_model("stock.keras")
images = np.load("images.npy")
np.save("outputs.npy", model.predict(images, verbose=0))
model.compile("sgd", "sparse_categorical_crossentropy")
model.fit(images, np.zeros(len(images)), verbose=0)
for name in ("keras_port", "tensorflow"):
    assert name not in sys.modules or name == sys.argv[1], name
"""


@EXPORTS
def test_onnx_computes_the_same(
    name: str, form: str, mnist: datasets.Splits, tmp_path: Path
) -> None:
    pytest.importorskip("tf2onnx")
    runtime: Any = pytest.importorskip("onnxruntime")
    model, images = build(name, form), get_images(form, mnist)
    path = tmp_path / "model.onnx"
    # Keras exports to ONNX only what was called with values before.
    model.predict(images, verbose=0)
    model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(str(path))
    (where,) = session.get_inputs()

    def run(batch: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = session.run(None, {where.name: batch})[0]
        return outputs

    assert where.name == "images"
    check_outputs(model, run, images, TOLERANCE)
    if form == "floats":
        # As docs/export.md warns: the check of the pixels is gone.
        assert np.isfinite(run(images * 255)).all()


@EXPORTS
def test_the_package_of_litert_computes_the_same(
    name: str, form: str, mnist: datasets.Splits, tmp_path: Path
) -> None:
    lite: Any = pytest.importorskip("ai_edge_litert.interpreter")
    model, images = build(name, form), get_images(form, mnist)
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", verbose=False)
    interpreter = lite.Interpreter(str(path))
    check_outputs(model, lite_run(interpreter), images, TOLERANCE)


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
@pytest.mark.parametrize("name", ["cnn", "perceptron"])
def test_other_backends_load_a_file_of_stock_layers(
    name: str, backend: str, mnist: datasets.Splits, tmp_path: Path
) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"not installed: {backend}")
    model: keras.Model = build(name, "stock")
    images = get_images("stock", mnist)
    model.save(tmp_path / "stock.keras")
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD, backend],
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = np.load(tmp_path / "outputs.npy")
    off = np.abs(outputs - model.predict(images, verbose=0)).max()
    print(f"{name} on {backend}: {off:.1e} off")
    assert off < TOLERANCE
