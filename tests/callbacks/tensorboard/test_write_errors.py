"""On a full disk, every writer says in one line which file it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

from keras_port import models
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.datasets import load_mnist
from tests.callbacks.scripted import StopAt
from tests.callbacks.tensorboard.networks import stock_model
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train
from tests.small_disk import fill
from tests.small_disk import mount


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of its own, of 256 KiB."""
    with mount(tmp_path / "disk") as directory:
        yield directory


class FillAt(StopAt):
    """Fills the disk at a step."""

    def __init__(self, step: int, directory: Path) -> None:
        super().__init__(step)
        self.directory = directory

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            fill(self.directory)


def check(error: OSError, directory: Path) -> None:
    """Checks that a message is one line that helps."""
    text = str(error)
    assert str(directory) in text
    assert "could not be written: No space left on device" in text
    assert "same command again" in text
    assert "\n" not in text


@pytest.mark.fault("R12")
@pytest.mark.parametrize("make", [small_model, stock_model])
def test_curves_on_a_full_disk(small_disk: Path, make: Any) -> None:
    with pytest.raises(OSError, match="Step") as raised:
        train(
            make(),
            [
                StepEvaluation(small_arrays(9), eval_freq=2),
                FillAt(5, small_disk),
                TensorBoard(small_disk / "logs", histogram_freq=1),
            ],
            steps=2000,
            shuffle=False,
        )
    check(raised.value, small_disk)


@pytest.mark.fault("R12")
def test_a_run_that_cannot_be_opened(small_disk: Path) -> None:
    class FillFirst(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            fill(small_disk)

    with pytest.raises(OSError, match="Step 0") as raised:
        train(
            small_model(),
            [TensorBoard(small_disk / "logs"), FillFirst()],
            steps=9,
        )
    check(raised.value, small_disk)


@pytest.mark.fault("R12")
def test_the_points_of_the_projector_on_a_full_disk(small_disk: Path) -> None:
    data = load_mnist().validation[:20]
    model = models.build_perceptron()
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])

    class FillLast(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            fill(small_disk)

    with pytest.raises(OSError, match="could not be written") as raised:
        model.fit(
            data.images.reshape(-1, 784) / 255.0,
            keras.utils.to_categorical(data.labels, 10),
            callbacks=[
                TensorBoard(small_disk / "logs", data=data, write_graph=False),
                FillLast(),
            ],
            verbose=0,
        )
    assert str(small_disk) in str(raised.value)
    assert "\n" not in str(raised.value)
