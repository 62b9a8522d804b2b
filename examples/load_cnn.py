"""Lesson 3b: loads the best network of a run and evaluates it.

A new process needs nothing but the file: the layers, the weights and the loss
are in it.
"""

import pathlib

from absl import flags
import common  # First: it sets what TensorFlow reads when it is imported.


def define_flags() -> None:
    """Defines the flags of this script."""
    common.define_data_dir()
    flags.DEFINE_string(
        "workdir", "runs/cnn", "Folder of the run of train_cnn.py."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    workdir = pathlib.Path(flags.FLAGS.workdir)
    common.load_and_evaluate(workdir, common.data_dir_from_flags())


if __name__ == "__main__":
    define_flags()
    common.run(main)
