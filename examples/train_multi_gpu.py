"""Lesson 4: trains the convolutional network on several devices.

Every device computes a slice of the batch, --batch_size examples. With
--scheme=towers, as in the course, the weights are on the CPU, which averages
the gradients and applies them. With --scheme=mirrored, every device has a copy
of the weights. Without a GPU, the CPU acts as --num_devices devices, which is
not faster.
"""

import pathlib
from typing import Any

from absl import flags
import cli

with cli.quiet_imports():
    import keras

    from keras_port import callbacks
    from keras_port import datasets
    from keras_port import distribution
    from keras_port import losses
    from keras_port import models
    from keras_port import optimizers
    from keras_port import runs

SCHEMES = ("towers", "mirrored")
EVAL_FREQ = 100
MAX_STEPS = 3000


def train_multi_gpu(
    workdir: pathlib.Path,
    *,
    num_devices: int,
    scheme: str = "towers",
    data_dir: pathlib.Path | None = None,
    batch_size: int = 200,
    max_steps: int = MAX_STEPS,
    eval_freq: int = EVAL_FREQ,
    patience: int = MAX_STEPS // EVAL_FREQ + 1,
    learning_rate: float = 1e-4,
    seed: int = 1,
    save_freq: int = cli.SAVE_FREQ,
    mmap: bool = False,
) -> runs.Results:
    """Trains the network, or resumes its training, and returns the results.

    `batch_size` counts the examples of all devices together.
    """
    # First, because a CPU must be split before TensorFlow uses it.
    distribution.mirrored_strategy(num_devices)
    mnist = datasets.load_mnist(data_dir, mmap=mmap)
    cli.check_batch_size(batch_size, len(mnist.train))
    settings = {
        "data_dir": data_dir,
        "batch_size": batch_size,
        "eval_freq": eval_freq,
        "patience": patience,
        "learning_rate": learning_rate,
        "seed": seed,
        "script": "train_multi_gpu",
        "scheme": scheme,
    }
    run = runs.Run(
        workdir, settings=settings, max_steps=max_steps, save_freq=save_freq
    )
    if run.results is not None:
        cli.announce_finished(run)
        return run.results

    keras.utils.set_random_seed(seed)
    model = build_model(scheme, num_devices, learning_rate)

    cli.announce(run)
    run.fit(
        model,
        lambda start_batch: datasets.shuffled_batches(
            mnist.train, batch_size, seed=seed, start_batch=start_batch
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
    return run.finish(
        model,
        validation=mnist.validation,
        test=mnist.test,
        dataset=cli.dataset_name(data_dir),
    )


def compile_model(model: Any, learning_rate: float) -> None:
    """Compiles the network as in lesson 4, with the mean loss."""
    model.compile(
        optimizer=optimizers.Adam(learning_rate),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )


def build_model(scheme: str, num_devices: int, learning_rate: float) -> Any:
    """Builds the course's network on several devices and compiles it."""
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


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_run_flags(
        workdir="runs/multi_gpu",
        max_steps=MAX_STEPS,
        eval_freq=EVAL_FREQ,
        learning_rate=1e-4,
        # The course's lesson has no early stopping.
        patience=MAX_STEPS // EVAL_FREQ + 1,
        batch_size_help="Examples per step and device.",
    )
    flags.DEFINE_integer(
        "num_devices", 2, "Devices that share every batch.", lower_bound=1
    )
    flags.DEFINE_enum(
        "scheme",
        "towers",
        SCHEMES,
        "Weights on the CPU (towers) or a copy on every device.",
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    num_devices = flags.FLAGS.num_devices
    arguments = cli.run_arguments()
    arguments["batch_size"] *= num_devices
    results = train_multi_gpu(
        **arguments, num_devices=num_devices, scheme=flags.FLAGS.scheme
    )
    print(cli.summarize(results))
    print(
        f"{num_devices} devices, {flags.FLAGS.scheme}: total time "
        f"{results.seconds:,.1f} s."
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
