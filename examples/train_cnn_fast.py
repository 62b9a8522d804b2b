"""The fast recipe: all that `train_cnn.py --recipe=fast` does differently.

It trains the network of lesson 3 in 900 steps. docs/speed.md, "The fast
recipe", measures every part of it.
"""

import functools
from typing import Any

from absl import flags
import cli

with cli.quiet_imports():
    import keras

    from keras_port import losses
    from keras_port import models
    from keras_port import optimizers
    from keras_port import training

# So that --help of train_cnn.py lists the flag that this module defines for it.
flags.disclaim_key_flags()

# Defaults of the flags of train_cnn.py with this recipe.
DEFAULTS = {"batch_size": 300, "max_steps": 900, "learning_rate": 3e-3}


def get_differences(max_steps: int) -> dict[str, Any]:
    """Returns the arguments of `train_cnn` that make it train this way.

    Args:
        max_steps: Steps of the training.
    """
    return {
        "build_model": functools.partial(build_model, max_steps=max_steps),
        # Moves every training image by up to two pixels.
        "max_shift": 2,
        # A longer cycle has another learning rate at every step, so it is
        # another run.
        "recipe": {"recipe": "fast", "cycle_steps": max_steps},
    }


def build_model(learning_rate: float, *, max_steps: int) -> models.ImageModel:
    """Builds the course's network and compiles it to learn in few steps.

    Args:
        learning_rate: Highest learning rate.
        max_steps: Steps of the training.
    """
    model = models.build_cnn(dropout_rate=0.25, kernel_initializer="he_normal")
    model.compile(
        optimizer=optimizers.Adam(one_cycle(learning_rate, max_steps)),
        loss=losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
        # Trains on 64 examples of every batch, those with a high loss more
        # likely; in the first 150 steps on the first 64.
        example_selection=training.HardExamples(64, warmup_batches=150),
    )
    return model


def one_cycle(
    peak: float, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a learning rate that rises to its peak and falls to 0.

    It rises along a line in the first fifth of the steps, then falls along a
    cosine.

    Args:
        peak: Highest learning rate.
        steps: Steps of the cycle.
    """
    rising = 0.2 * steps
    return keras.optimizers.schedules.CosineDecay(
        peak / 25,
        decay_steps=steps - rising,
        warmup_target=peak,
        warmup_steps=rising,
    )


def define_recipe_flag() -> None:
    """Defines the flag of `train_cnn.py` that chooses this recipe."""
    flags.DEFINE_enum(
        "recipe",
        "course",
        ["course", "fast"],
        "How to train. `fast` has other defaults: "
        f"--max_steps={DEFAULTS['max_steps']} "
        f"--batch_size={DEFAULTS['batch_size']} "
        f"--learning_rate={DEFAULTS['learning_rate']}, the highest "
        "value of one cycle over all steps, and one validation at the end.",
    )


def set_flag_defaults() -> None:
    """Changes the values of the flags that the command line does not set."""
    cli.set_flag_defaults(DEFAULTS)
    # One validation, where the learning rate has fallen to 0.
    cli.set_flag_defaults({"eval_freq": flags.FLAGS.max_steps})
    if cli.has_bfloat16():
        cli.set_flag_defaults({"precision": "bfloat16"})
