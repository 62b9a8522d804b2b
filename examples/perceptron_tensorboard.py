"""Lesson 2: trains the perceptron and writes its curves for TensorBoard.

Writes the cross entropy of every step, the accuracy on the test images every
--eval_freq steps (the curve that the course's own code left empty), histograms
of the weights and biases, and the graph of the training step. Prints the
command that shows them.
"""

from collections.abc import Mapping
import pathlib
from typing import Any

from absl import flags
import cli

with cli.quiet_imports():
    import keras

    from keras_port import callbacks
    from keras_port import datasets
    from keras_port import losses
    from keras_port import models
    from keras_port import training


def build_model(learning_rate: float) -> models.ImageModel:
    """Builds the perceptron of lesson 1 and compiles it as the course does."""
    model = models.build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def train_with_curves(
    model: models.ImageModel,
    splits: datasets.Splits,
    log_dir: pathlib.Path,
    *,
    batch_size: int,
    max_steps: int,
    eval_freq: int,
    histogram_freq: int,
    seed: int,
    hparams: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> float:
    """Trains the perceptron and returns the accuracy on the test images.

    Args:
        model: The compiled perceptron.
        splits: The images.
        log_dir: Directory of the curves.
        batch_size: Examples per step.
        max_steps: Number of steps.
        eval_freq: Steps between evaluations.
        histogram_freq: Steps between histograms.
        seed: Seed of the order of the data.
        hparams: Hyper-parameters for the page that compares runs. Defaults to
            `None`: none.
        overwrite: Whether to replace the curves of another run. Defaults to
            `False`.
    """
    model.fit(
        datasets.shuffled_batches(splits.train, batch_size, seed=seed),
        steps_per_epoch=max_steps,
        callbacks=[
            callbacks.StepEvaluation(
                splits.test, eval_freq=eval_freq, prefix="test"
            ),
            callbacks.StepProgress(
                batch_size=batch_size, monitor="test_accuracy"
            ),
            callbacks.TensorBoard(
                log_dir,
                histogram_freq=histogram_freq,
                data=splits.test[:100],
                tags={"loss": "cross_entropy"},
                hparams=hparams,
                overwrite=overwrite,
            ),
        ],
        verbose=0,
    )
    return training.Evaluator(model, splits.test).evaluate()["accuracy"]


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_training_flags(max_steps=1000, eval_freq=5, learning_rate=0.01)
    flags.DEFINE_string(
        "workdir", "runs/perceptron_tensorboard", "Directory of the curves."
    )
    flags.DEFINE_integer(
        "histogram_freq", 10, "Steps between histograms.", lower_bound=1
    )
    flags.DEFINE_bool(
        "overwrite", False, "Whether to replace the curves of another run."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    mnist = datasets.load_mnist(cli.data_dir())
    cli.check_batch_size(values.batch_size, len(mnist.train))
    options = cli.training_arguments()
    keras.utils.set_random_seed(values.seed)
    log_dir = pathlib.Path(values.workdir)
    hparams = cli.get_hparams({**options, "data_dir": cli.data_dir()})
    accuracy = train_with_curves(
        build_model(options.pop("learning_rate")),
        mnist,
        log_dir,
        histogram_freq=values.histogram_freq,
        hparams=hparams,
        overwrite=values.overwrite,
        **options,
    )
    print(
        f"Test accuracy {accuracy:.4f} after {values.max_steps:,} steps. "
        f"Curves: {cli.format_tensorboard_command(log_dir)}"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
