"""Lesson 3: trains the convolutional network until it stops improving.

The network is validated every --eval_freq steps, and saved if it is the best so
far. --patience validations in a row without improvement end the training, and
the best weights are evaluated on the test images. Ctrl-C ends in order; the
same command resumes.

--recipe=fast trains the same network in 550 steps, as train_cnn_fast.py shows.
"""

import contextlib
import pathlib

from absl import flags
import cli
import train_cnn_fast

with cli.quiet_imports():
    import keras

    from keras_port import callbacks
    from keras_port import datasets
    from keras_port import distribution
    from keras_port import losses
    from keras_port import models
    from keras_port import optimizers
    from keras_port import runs


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
    precision: str | None = None,
    num_devices: int = 1,
) -> runs.Results:
    """Trains the network, or resumes its training, and returns the results."""
    # First, since several devices on a CPU divide it before TensorFlow uses
    # it. A run may continue with another number of devices.
    devices = (
        distribution.mirrored_strategy(num_devices).scope()
        if num_devices > 1
        else contextlib.nullcontext()
    )
    mnist = datasets.load_mnist(data_dir, mmap=mmap)
    precision = precision or "float32"
    run = runs.Run(
        workdir,
        settings={
            "data_dir": data_dir,
            "batch_size": batch_size,
            "eval_freq": eval_freq,
            "patience": patience,
            "learning_rate": learning_rate,
            "seed": seed,
            "script": "train_cnn",
            "recipe": "course",
            "precision": precision,
        },
        max_steps=max_steps,
        save_freq=save_freq,
    )
    if run.results is not None:
        cli.announce_finished(run)
        return run.results

    keras.utils.set_random_seed(seed)
    cli.set_precision(precision)
    with devices:
        model = models.build_cnn()
        model.compile(
            optimizer=optimizers.Adam(learning_rate),
            loss=losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
        )

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
                hparams={
                    "batch_size": batch_size,
                    "learning_rate": learning_rate,
                    "seed": seed,
                    "dataset": cli.dataset_name(data_dir),
                },
                # The folder belongs to this run, as run.json says.
                overwrite=True,
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
        workdir="runs/cnn",
        max_steps=20_000,
        eval_freq=100,
        learning_rate=1e-4,
    )
    fast = train_cnn_fast.DEFAULTS
    flags.DEFINE_enum(
        "recipe",
        "course",
        ["course", "fast"],
        "How to train. `fast` has other defaults: "
        f"--max_steps={fast['max_steps']} --batch_size={fast['batch_size']} "
        f"--learning_rate={fast['learning_rate']}, the peak of one cycle over "
        "all steps, and one validation, at their end.",
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
        list(cli.PRECISIONS),
        "Of the computation; the weights are always float32. Without it "
        "float32, and with --recipe=fast bfloat16 where the machine has it.",
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    train = train_cnn
    if flags.FLAGS.recipe == "fast":
        train = train_cnn_fast.train_cnn_fast
        cli.set_flag_defaults(train_cnn_fast.DEFAULTS)
        # One validation, where the learning rate has fallen to 0.
        cli.set_flag_defaults({"eval_freq": flags.FLAGS.max_steps})
    results = train(
        **cli.run_arguments(),
        precision=flags.FLAGS.precision,
        num_devices=flags.FLAGS.num_devices,
    )
    print(cli.summarize(results))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
