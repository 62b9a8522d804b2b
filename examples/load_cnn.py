"""Lesson 3b: loads the best network of a run and evaluates it.

A new process needs only the file, which holds the layers, the weights and the
loss.
"""

import pathlib

from absl import flags
import cli

with cli.quiet_imports():
    import keras

    from keras_port import checkpoints
    from keras_port import datasets
    from keras_port import training


def load_and_evaluate(
    workdir: pathlib.Path, data_dir: pathlib.Path | None = None
) -> tuple[float, float]:
    """Returns the validation and test accuracy of the best model of a run.

    Args:
        workdir: Directory of the run.
        data_dir: Directory of the data. Defaults to `None`: the MNIST in the
            package.
    """
    path = workdir / "model.keras"
    # Raises a short error if the file is missing or broken.
    record = checkpoints.read_record(path)
    mnist = datasets.load_mnist(data_dir)
    model = keras.saving.load_model(path)
    validation = training.Evaluator(model, mnist.validation).evaluate()[
        "accuracy"
    ]
    test = training.Evaluator(model, mnist.test).evaluate()["accuracy"]
    when = f", of step {record.step:,}" if record else ""
    print(
        f"{path}{when}: validation accuracy {validation:.4f}, "
        f"test accuracy {test:.4f}."
    )
    return validation, test


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_data_flag()
    flags.DEFINE_string(
        "workdir", "runs/cnn", "Directory of the run of train_cnn.py."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    load_and_evaluate(pathlib.Path(flags.FLAGS.workdir), cli.data_dir())


if __name__ == "__main__":
    define_flags()
    cli.run(main)
