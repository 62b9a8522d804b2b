"""Lesson 3: trains the convolutional network until it stops improving.

Validates the network every --eval_freq steps and saves it every time it
improves. After --patience validations without improvement, stops, restores the
best weights and evaluates them on the test images. Ctrl-C stops the training
cleanly; the same command resumes it.
"""

from collections.abc import Callable
from collections.abc import Mapping
import pathlib
from typing import Any

from absl import flags
import cli
import train_cnn_fast

with cli.quiet_imports():
    import keras

    from keras_port import callbacks
    from keras_port import datasets
    from keras_port import losses
    from keras_port import models
    from keras_port import optimizers
    from keras_port import runs


def build_model(learning_rate: float) -> models.ImageModel:
    """Builds the course's network and compiles it as the course does."""
    model = models.build_cnn()
    model.compile(
        optimizer=optimizers.Adam(learning_rate),
        loss=losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )
    return model


def train_cnn(
    workdir: pathlib.Path,
    *,
    data_dir: pathlib.Path | None = None,
    batch_size: int = 100,
    max_steps: int = 20_000,
    eval_freq: int = 100,
    patience: int = 20,
    learning_rate: float = 1e-4,
    seed: int = 1,
    save_freq: int = cli.SAVE_FREQ,
    mmap: bool = False,
    precision: str = "float32",
    num_devices: int = 1,
    build_model: Callable[[float], models.ImageModel] = build_model,
    max_shift: int = 0,
    recipe: Mapping[str, Any] | None = None,
) -> runs.Results:
    """Trains the network, or resumes its training, and returns the results.

    The last three arguments are what the fast recipe changes.
    """
    # First, because a CPU must be split before TensorFlow uses it.
    devices = cli.share_batches(num_devices)
    mnist = datasets.load_mnist(data_dir, mmap=mmap)
    cli.check_batch_size(batch_size, len(mnist.train))
    settings = {
        "data_dir": data_dir,
        "batch_size": batch_size,
        "eval_freq": eval_freq,
        "patience": patience,
        "learning_rate": learning_rate,
        "seed": seed,
        "script": "train_cnn",
        "recipe": "course",
        "precision": precision,
        **(recipe or {}),
    }
    run = runs.Run(
        workdir, settings=settings, max_steps=max_steps, save_freq=save_freq
    )
    if run.results is not None:
        cli.announce_finished(run)
        return run.results

    keras.utils.set_random_seed(seed)
    cli.set_precision(precision)
    with devices:
        model = build_model(learning_rate)
    cli.announce(run)
    run.fit(
        model,
        lambda start_batch: datasets.shuffled_batches(
            mnist.train,
            batch_size,
            seed=seed,
            start_batch=start_batch,
            max_shift=max_shift,
        ),
        callbacks=[
            callbacks.StepEvaluation(mnist.validation, eval_freq=eval_freq),
            callbacks.StepEarlyStopping(patience=patience),
            callbacks.StepCheckpoint(run.model_path),
            callbacks.StepProgress(batch_size=batch_size, patience=patience),
            callbacks.TensorBoard(
                run.log_dir,
                update_freq=10,
                histogram_freq=500,
                data=mnist.validation[:200],
                hparams=cli.get_hparams(settings),
            ),
        ],
    )
    # The model has the best weights now.
    return run.finish(
        model,
        validation=mnist.validation,
        test=mnist.test,
        dataset=cli.dataset_name(data_dir),
    )


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_run_flags(
        workdir="runs/cnn", max_steps=20_000, eval_freq=100, learning_rate=1e-4
    )
    cli.define_device_flags()
    train_cnn_fast.define_recipe_flag()


def main() -> None:
    """Runs the script with the values of the flags."""
    recipe: dict[str, Any] = {}
    if flags.FLAGS.recipe == "fast":
        train_cnn_fast.set_flag_defaults()
        recipe = train_cnn_fast.get_differences(flags.FLAGS.max_steps)
    results = train_cnn(
        **cli.run_arguments(), **cli.device_arguments(), **recipe
    )
    print(cli.summarize(results))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
