"""What the best model of a run is worth."""

import pathlib

import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
import keras
from run_files import MODEL_FILE

from keras_port import checkpoints
from keras_port import datasets
from keras_port import training


def accuracy(model: keras.Model, split: datasets.ImageSplit) -> float:
    """Returns the part of the images that the model names right."""
    return training.Evaluator(model, split)()["accuracy"]


def load_and_evaluate(
    workdir: pathlib.Path, data_dir: pathlib.Path | None
) -> tuple[float, float]:
    """Returns the validation and test accuracy of the best model of a run.

    Args:
        workdir: Folder of the run.
        data_dir: Folder of the data, `None` for the MNIST in the package.
    """
    path = workdir / MODEL_FILE
    # Says in one line what is wrong with a file that is not there or broken.
    record = checkpoints.read_record(path)
    splits = datasets.load_mnist(data_dir)
    model = keras.saving.load_model(path)
    validation = accuracy(model, splits.validation)
    test = accuracy(model, splits.test)
    when = f", of step {record.step:,}" if record else ""
    print(
        f"{path}{when}: validation accuracy {validation:.4f}, "
        f"test accuracy {test:.4f}."
    )
    return validation, test
