"""Measures what every part of the fast recipe gains.

Trains like `examples/train_cnn.py --recipe=fast`, in turn with all parts of the
recipe and with one part left out or changed, and compares the test accuracy and
the seconds of training.
"""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
import sys
import tempfile
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import keras

from benchmarks import report
from keras_port import callbacks
from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from keras_port import runs
from keras_port import training


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The parts of the recipe; the defaults are `examples/train_cnn_fast.py`.

    Args:
        batch_size: Examples per step.
        hard_examples: Examples of every batch to train on, `None` for all.
        warmup_batches: First batches, which are truncated to `hard_examples`
            examples.
        max_steps: Steps; with `one_cycle` the length of the cycle.
        learning_rate: Learning rate; with `one_cycle` its peak.
        one_cycle: Whether the learning rate rises once and falls to 0.
        dropout_rate: Probability of dropping a value in training.
        kernel_initializer: Initializer of the weights, `None` for the course's.
        max_shift: Largest number of pixels to shift training images by.
        precision: "mixed_bfloat16" or "float32".
    """

    batch_size: int = 300
    hard_examples: int | None = 64
    warmup_batches: int = 150
    max_steps: int = 900
    learning_rate: float = 3e-3
    one_cycle: bool = True
    dropout_rate: float = 0.25
    kernel_initializer: str | None = "he_normal"
    max_shift: int = 2
    precision: str = "mixed_bfloat16"


FAST = Recipe()
# What every kind changes.
CHANGES: dict[str, dict[str, Any]] = {
    "all parts": {},
    "700 steps": {"max_steps": 700},
    "550 steps": {"max_steps": 550},
    "all images of 150, which take as long": {
        "hard_examples": None,
        "batch_size": 150,
    },
    "hard examples from the first step on": {"warmup_batches": 0},
    "no shifts": {"max_shift": 0},
    "the course's initial weights": {"kernel_initializer": None},
    "a constant rate of 1e-3": {"one_cycle": False, "learning_rate": 1e-3},
    "the course's dropout of 0.5": {"dropout_rate": 0.5},
    "float32": {"precision": "float32"},
}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_string("json", None, "File to write every number to.")
    flags.DEFINE_integer("seeds", 3, "Runs of every kind.", lower_bound=1)
    flags.DEFINE_multi_enum(
        "kind", list(CHANGES), list(CHANGES), "What to train."
    )


def run(
    recipe: Recipe, seed: int, data_dir: pathlib.Path | None
) -> runs.Results:
    """Returns the results of one training."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(recipe.precision)
    splits = datasets.load_mnist(data_dir)
    model = build_model(recipe)
    with tempfile.TemporaryDirectory() as folder:
        one = runs.Run(folder, settings={}, max_steps=recipe.max_steps)
        one.fit(
            model,
            lambda start_batch: datasets.shuffled_batches(
                splits.train,
                recipe.batch_size,
                seed=seed,
                start_batch=start_batch,
                max_shift=recipe.max_shift,
            ),
            callbacks=[
                callbacks.StepEvaluation(
                    splits.validation, eval_freq=recipe.max_steps
                )
            ],
        )
        return one.finish(model, validation=splits.validation, test=splits.test)


def build_model(recipe: Recipe) -> models.ImageModel:
    """Returns the network, compiled as the recipe trains it."""
    rate: Any = recipe.learning_rate
    if recipe.one_cycle:
        rising = 0.2 * recipe.max_steps
        rate = keras.optimizers.schedules.CosineDecay(
            recipe.learning_rate / 25,
            decay_steps=recipe.max_steps - rising,
            warmup_target=recipe.learning_rate,
            warmup_steps=rising,
        )
    model = models.build_cnn(
        dropout_rate=recipe.dropout_rate,
        kernel_initializer=recipe.kernel_initializer,
    )
    selection = None
    if recipe.hard_examples is not None:
        selection = training.HardExamples(
            recipe.hard_examples, warmup_batches=recipe.warmup_batches
        )
    model.compile(
        optimizer=optimizers.Adam(rate),
        loss=losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
        example_selection=selection,
    )
    return model


def measure(
    kinds: Mapping[str, Recipe],
    *,
    seeds: int,
    data_dir: pathlib.Path | None = None,
) -> report.Report:
    """Trains every recipe with every seed, in turn."""
    accuracies: dict[str, list[float]] = {kind: [] for kind in kinds}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in range(1, seeds + 1):
        for kind, recipe in kinds.items():
            results = run(recipe, seed, data_dir)
            accuracies[kind].append(results.test_accuracy)
            seconds[kind].append(results.seconds)
    return report.Report(
        [
            report.Table("Test accuracy", "accuracy", accuracies, digits=4),
            report.Table("Training", "s", seconds, digits=1),
        ]
    )


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    kinds = {
        kind: dataclasses.replace(FAST, **CHANGES[kind])
        for kind in flags.FLAGS.kind
    }
    measure(kinds, seeds=flags.FLAGS.seeds).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
