"""Lesson 1c: evaluates a new perceptron, loads the trained one, evaluates it.

A new process needs nothing but the file: the layers, the weights and the loss
are in it.
"""

import pathlib

from absl import flags
import best_model
import cli  # First: it sets what TensorFlow reads when it is imported.
import run_settings
import train_perceptron

from keras_port import datasets


def define_flags() -> None:
    """Defines the flags of this script."""
    run_settings.define_data_dir()
    flags.DEFINE_string(
        "workdir",
        "runs/perceptron",
        "Folder of the run of train_perceptron.py.",
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    workdir = pathlib.Path(flags.FLAGS.workdir)
    data_dir = run_settings.data_dir_from_flags()
    untrained = train_perceptron.build_model(learning_rate=0.01)
    before = best_model.accuracy(untrained, datasets.load_mnist(data_dir).test)
    print(f"Before loading: test accuracy {before:.4f}.")
    best_model.load_and_evaluate(workdir, data_dir)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
