"""Exported models compute the same, whole and as a part of another model.

tests/tools/test_export.py has the formats that need other programs.
"""

from pathlib import Path
import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from tests.models.exports import OWN_EXPORTS
from tests.models.exports import TOLERANCE
from tests.models.exports import build
from tests.models.exports import check_outputs
from tests.models.exports import get_images
from tests.models.exports import has_litert
from tests.models.exports import lite_run


@OWN_EXPORTS
def test_a_saved_model_computes_the_same(
    name: str, form: str, mnist: datasets.Splits, tmp_path: Path
) -> None:
    model, images = build(name, form), get_images(form, mnist)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    # The same operations of the same program.
    check_outputs(model, lambda x: np.asarray(served.serve(x)), images, 1e-6)
    if form in ("floats", "part"):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="Pixels must be from 0 to 1"
        ):
            served.serve(images * 255)


@pytest.mark.skipif(not has_litert(), reason="Keras 3.12 has no LiteRT")
@OWN_EXPORTS
def test_litert_computes_the_same(
    name: str, form: str, mnist: datasets.Splits, tmp_path: Path
) -> None:
    model, images = build(name, form), get_images(form, mnist)
    path = tmp_path / "model.tflite"
    model.export(path, format="litert", verbose=False)
    with warnings.catch_warnings():
        # TensorFlow 2.21 has this interpreter still, and says that the one of
        # ai_edge_litert replaces it.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(str(path))
    run = lite_run(interpreter)
    check_outputs(model, run, images, TOLERANCE)
    if form == "floats":
        # As docs/export.md warns: the check of the pixels is gone.
        assert np.isfinite(run(images * 255)).all()
