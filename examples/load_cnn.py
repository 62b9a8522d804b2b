"""Lesson 3b: loads the best network of a run and evaluates it.

A new process needs nothing but the file: the layers, the weights and the loss
are in it.
"""

import pathlib

from absl import flags
import best_model
import cli  # First: it sets what TensorFlow reads when it is imported.
import run_settings


def define_flags() -> None:
    """Defines the flags of this script."""
    run_settings.define_data_dir()
    flags.DEFINE_string(
        "workdir", "runs/cnn", "Folder of the run of train_cnn.py."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    workdir = pathlib.Path(flags.FLAGS.workdir)
    best_model.load_and_evaluate(workdir, run_settings.data_dir_from_flags())


if __name__ == "__main__":
    define_flags()
    cli.run(main)
