"""Lesson 3b: loads the best network of a run and evaluates it.

A new process needs only the file: the layers, the weights and the loss are in
it.
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
        workdir: Folder of the run.
        data_dir: Folder of the data, `None` for the MNIST in the package.
    """
    path = workdir / "model.keras"
    # Says in one line what is wrong with a file that is missing or broken.
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
        "workdir", "runs/cnn", "Folder of the run of train_cnn.py."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    load_and_evaluate(pathlib.Path(flags.FLAGS.workdir), cli.data_dir())


if __name__ == "__main__":
    define_flags()
    cli.run(main)
