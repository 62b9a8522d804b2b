"""What a notebook shows of the package."""

import inspect
import io
from pathlib import Path

from PIL import Image
import pytest

import keras_port
from keras_port import callbacks
from keras_port import datasets
from tests.small import small_arrays
from tests.small import small_model


@pytest.mark.parametrize("name", keras_port.__all__)
def test_completion_offers_the_public_names(name: str) -> None:
    module = getattr(keras_port, name)
    names = [one for one in dir(module) if not one.startswith("_")]
    assert names == sorted(module.__all__)


def test_callbacks_show_their_arguments(tmp_path: Path) -> None:
    assert repr(callbacks.StepEvaluation(small_arrays(), eval_freq=5)) == (
        "StepEvaluation(eval_freq=5, prefix='val')"
    )
    assert repr(callbacks.StepEarlyStopping(patience=3)).startswith(
        "StepEarlyStopping(monitor='val_accuracy', patience=3"
    )
    for callback in (
        callbacks.StepCheckpoint(tmp_path / "m.keras"),
        callbacks.StepProgress(batch_size=10),
        callbacks.TensorBoard(tmp_path),
        callbacks.TerminateOnSignal(),
        callbacks.TrainingState(tmp_path),
    ):
        assert repr(callback).startswith(f"{type(callback).__name__}(")
        assert " at 0x" not in repr(callback)


def test_gradients_take_one_line() -> None:
    result = small_model().compute_gradients(*small_arrays(5))
    text = repr(result)
    assert text.startswith("GradientResult(loss=")
    assert text.endswith("outputs of shape (5, 3), 2 gradients)")


def test_a_split_shows_its_digits(small_mnist: datasets.Splits) -> None:
    png = small_mnist.train[:20]._repr_png_()
    assert png is not None
    assert Image.open(io.BytesIO(png)).size == (16 * 28, 2 * 28)
    assert inspect.ismethod(small_mnist.train._repr_png_)
