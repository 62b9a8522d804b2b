"""Lesson 3: trains the convolutional network to its early stop.

The network is validated each --eval_freq steps. Each better model is saved,
--patience validations in a row without a better one end the training, and the
best weights are evaluated on the test images. Ctrl-C ends in order; the same
command goes on later.
"""

import contextlib
from typing import Any

from absl import flags
import common  # First: it sets what TensorFlow reads when it is imported.
import keras

from keras_port import datasets
from keras_port import distribution
from keras_port import losses
from keras_port import models
from keras_port import optimizers

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def define_flags() -> None:
    """Defines the flags of this script."""
    common.define_settings(
        workdir="runs/cnn", max_steps=20_000, eval_freq=100, learning_rate=1e-4
    )
    flags.DEFINE_integer(
        "num_devices",
        1,
        "Devices that share each batch: GPUs or, without one, parts of the "
        "CPU. The results do not depend on it.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "precision",
        "float32",
        list(PRECISIONS),
        "Of the computation; the weights are float32 always.",
    )


def build_model(learning_rate: float) -> models.ImageModel:
    """Returns the course's network, compiled as the course trains it."""
    model = models.build_cnn()
    model.compile(
        optimizer=optimizers.Adam(learning_rate),
        loss=losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )
    return model


def train_cnn(
    settings: common.Settings,
    *,
    precision: str = "float32",
    num_devices: int = 1,
) -> common.Results:
    """Trains the network, or goes on with it, or tells what it has given."""
    scope: Any = contextlib.nullcontext()
    if num_devices > 1:
        # First, since the CPU is divided before TensorFlow uses it. The number
        # is no part of the run: it may go on with another one.
        scope = distribution.mirrored(num_devices).scope()
    splits = datasets.load_mnist(settings.data_dir)
    finished = common.finished_results(
        settings, script="train_cnn", precision=precision
    )
    if finished is not None:
        print(f"{settings.workdir} is finished; there is nothing left to do.")
        return finished
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(PRECISIONS[precision])
    with scope:
        model = build_model(settings.learning_rate)
    return common.train_by_step(model, splits, settings)


def main() -> None:
    """Runs the script with the values of the flags."""
    settings = common.settings_from_flags()
    results = train_cnn(
        settings,
        precision=flags.FLAGS.precision,
        num_devices=flags.FLAGS.num_devices,
    )
    print(common.summary(results))


if __name__ == "__main__":
    define_flags()
    common.run(main)
