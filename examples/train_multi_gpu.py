"""Lesson 4: trains the convolutional network on several devices.

Each device computes a slice of the batch, --batch_size examples. With
--scheme=towers, as in the course, the weights lie on the CPU, which averages
the gradients and applies them. With --scheme=mirrored each device has a copy of
the weights. Without a GPU the CPU stands for --num_devices devices, which shows
how it works and gains no speed.
"""

from typing import Any

from absl import flags
import cli  # First: it sets what TensorFlow reads when it is imported.
import keras
import run_folder
import run_settings
import step_training

from keras_port import distribution
from keras_port import losses
from keras_port import models
from keras_port import optimizers

SCHEMES = ("towers", "mirrored")
EVAL_FREQ = 100
MAX_STEPS = 3000


def define_flags() -> None:
    """Defines the flags of this script."""
    run_settings.define_settings(
        workdir="runs/multi_gpu",
        max_steps=MAX_STEPS,
        eval_freq=EVAL_FREQ,
        learning_rate=1e-4,
        # The course's lesson has no early stopping.
        patience=MAX_STEPS // EVAL_FREQ + 1,
        batch_size_help="Examples per step and device.",
    )
    flags.DEFINE_integer(
        "num_devices", 2, "Devices that share each batch.", lower_bound=1
    )
    flags.DEFINE_enum("scheme", "towers", SCHEMES, "Where the weights lie.")


def compile_model(model: Any, learning_rate: float) -> None:
    """Compiles the network as lesson 4 trains it: by the mean loss."""
    model.compile(
        optimizer=optimizers.Adam(learning_rate),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )


def build_model(scheme: str, num_devices: int, learning_rate: float) -> Any:
    """Returns the course's network on several devices, compiled."""
    if scheme == "towers":
        model: Any = distribution.build_towers(
            models.build_cnn, num_devices=num_devices
        )
        compile_model(model, learning_rate)
        return model
    with distribution.mirrored_strategy(num_devices).scope():
        model = models.build_cnn()
        compile_model(model, learning_rate)
    return model


def train_multi_gpu(
    settings: run_settings.Settings, *, num_devices: int, scheme: str = "towers"
) -> run_folder.Results:
    """Trains the network, or goes on with it, or tells what it has given.

    Args:
        settings: Of the run; its `batch_size` is that of all devices together.
        num_devices: Devices that share each batch.
        scheme: "towers" or "mirrored".
    """
    # First, since the CPU is divided before TensorFlow uses it.
    distribution.mirrored_strategy(num_devices)
    splits = run_settings.load_splits(settings)
    finished = run_folder.finished_results(
        settings, script="train_multi_gpu", scheme=scheme
    )
    if finished is not None:
        print(f"{settings.workdir} is finished; there is nothing left to do.")
        return finished
    keras.utils.set_random_seed(settings.seed)
    model = build_model(scheme, num_devices, settings.learning_rate)
    return step_training.train_by_step(model, splits, settings)


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    settings = run_settings.settings_from_flags(devices=values.num_devices)
    results = train_multi_gpu(
        settings, num_devices=values.num_devices, scheme=values.scheme
    )
    print(run_folder.summary(results))
    print(
        f"{values.num_devices} devices, {values.scheme}: total time "
        f"{results.seconds:,.1f} s."
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
