"""Lesson 3: trains the convolutional network to its early stop.

The network is validated each --eval_freq steps. Each better model is saved,
--patience validations in a row without a better one end the training, and the
best weights are evaluated on the test images. Ctrl-C ends in order; the same
command goes on later.

--recipe=fast trains the same network in 550 steps. Each looks at 300 images,
moved by up to two pixels, and trains on 64 of them, those with a high loss more
likely, the first 150 steps on any 64; one cycle of the learning rate; bfloat16
where the machine has it.
"""

import contextlib
from typing import Any

from absl import flags
import cli  # First: it sets what TensorFlow reads when it is imported.
import keras
from recipes import RECIPES
from recipes import Recipe
from recipes import has_bfloat16
import run_folder
import run_settings
import step_training

from keras_port import distribution
from keras_port import losses
from keras_port import models
from keras_port import optimizers

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def define_flags() -> None:
    """Defines the flags of this script."""
    course = RECIPES["course"]
    run_settings.define_settings(
        workdir="runs/cnn",
        max_steps=course.max_steps,
        eval_freq=course.eval_freq or course.max_steps,
        learning_rate=course.learning_rate,
    )
    fast = RECIPES["fast"]
    flags.DEFINE_enum(
        "recipe",
        "course",
        list(RECIPES),
        "How to train. `fast` has other defaults: "
        f"--max_steps={fast.max_steps} --batch_size={fast.batch_size} "
        f"--learning_rate={fast.learning_rate}, the peak of one cycle over all "
        "steps, and one validation, at their end.",
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
        None,
        list(PRECISIONS),
        "Of the computation; the weights are float32 always. Without it "
        "float32, and with --recipe=fast bfloat16 where the machine has it.",
    )


def build_model(
    learning_rate: float,
    *,
    recipe: Recipe = RECIPES["course"],
    steps: int | None = None,
) -> models.ImageModel:
    """Returns the course's network, compiled as a recipe trains it.

    Args:
        learning_rate: Of the optimizer, or the peak of its cycle.
        recipe: How it trains. Defaults to the course's way.
        steps: Length of the cycle of a recipe that has one. Defaults to that
            of the recipe.
    """
    rate: Any = learning_rate
    if recipe.one_cycle:
        rate = optimizers.OneCycle(learning_rate, steps or recipe.max_steps)
    model = models.build_cnn(
        dropout_rate=recipe.dropout_rate,
        kernel_initializer=recipe.kernel_initializer,
    )
    model.compile(
        optimizer=optimizers.Adam(rate),
        loss=losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
        hard_examples=recipe.hard_examples,
        hard_examples_warmup=recipe.hard_examples_warmup,
    )
    return model


def train_cnn(
    settings: run_settings.Settings,
    *,
    recipe: str = "course",
    precision: str | None = None,
    num_devices: int = 1,
) -> run_folder.Results:
    """Trains the network, or goes on with it, or tells what it has given."""
    scope: Any = contextlib.nullcontext()
    if num_devices > 1:
        # First, since the CPU is divided before TensorFlow uses it. The number
        # is no part of the run: it may go on with another one.
        scope = distribution.mirrored_strategy(num_devices).scope()
    splits = run_settings.load_splits(settings)
    how = RECIPES[recipe]
    precision = precision or how.precision()
    more: dict[str, Any] = {"recipe": recipe, "precision": precision}
    if how.one_cycle:
        # A longer cycle has another rate at each step: it is another run.
        more["cycle_steps"] = settings.max_steps
    finished = run_folder.finished_results(settings, script="train_cnn", **more)
    if finished is not None:
        print(f"{settings.workdir} is finished; there is nothing left to do.")
        return finished
    if precision == "bfloat16" and not has_bfloat16():
        print(
            "This machine has no instructions for bfloat16 and computes it "
            "slowly; --precision=float32 will be faster."
        )
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy(PRECISIONS[precision])
    with scope:
        model = build_model(
            settings.learning_rate, recipe=how, steps=settings.max_steps
        )
    return step_training.train_by_step(
        model, splits, settings, max_shift=how.max_shift
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    RECIPES[flags.FLAGS.recipe].set_defaults()
    settings = run_settings.settings_from_flags()
    results = train_cnn(
        settings,
        recipe=flags.FLAGS.recipe,
        precision=flags.FLAGS.precision,
        num_devices=flags.FLAGS.num_devices,
    )
    print(run_folder.summary(results))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
