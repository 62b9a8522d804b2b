"""Says what each part of the fast recipe is worth.

Trains as `examples/train_cnn.py --recipe=fast` does, in turn with all parts of
the recipe and with one part of it left out or changed, and compares the test
accuracies and the seconds of the training.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

from absl import app
from absl import flags
import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
import recipes
import run_folder
import run_settings
import train_cnn

from benchmarks import report

FAST = recipes.RECIPES["fast"]
# What is changed, and to what.
CHANGES = {
    "all parts": {},
    "all images of 150, which take as long": {
        "hard_examples": None,
        "hard_examples_warmup": 0,
        "batch_size": 150,
    },
    "hard examples from the first step on": {"hard_examples_warmup": 0},
    "no shifts": {"max_shift": 0},
    "the course's initial weights": {"kernel_initializer": None},
    "a constant rate of 1e-3": {"one_cycle": False, "learning_rate": 1e-3},
    "the course's dropout of 0.5": {"dropout_rate": 0.5},
    "float32": {"half_precision": False},
}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_string("json", None, "File to write every number to.")
    flags.DEFINE_integer("seeds", 3, "Runs of each kind.", lower_bound=1)
    flags.DEFINE_multi_enum(
        "kind", list(CHANGES), list(CHANGES), "What to train."
    )


def run(
    recipe: recipes.Recipe, seed: int, data_dir: pathlib.Path | None
) -> run_folder.Results:
    """Returns the results of one training."""
    recipes.RECIPES["changed"] = recipe
    with tempfile.TemporaryDirectory() as folder:
        settings = run_settings.Settings(
            workdir=pathlib.Path(folder) / "run",
            data_dir=data_dir,
            batch_size=recipe.batch_size,
            max_steps=recipe.max_steps,
            eval_freq=recipe.eval_freq or recipe.max_steps,
            patience=20,
            learning_rate=recipe.learning_rate,
            seed=seed,
        )
        try:
            return train_cnn.train_cnn(settings, recipe="changed")
        finally:
            del recipes.RECIPES["changed"]


def measure(
    kinds: Mapping[str, recipes.Recipe],
    *,
    seeds: int,
    data_dir: pathlib.Path | None = None,
) -> report.Report:
    """Trains by each recipe with each seed, in turn."""
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
