"""The network of lesson 3 in 550 steps: `train_cnn.py --recipe=fast`.

It differs from `train_cnn.py` in how the network is built and trained, and in
the learning rate. Every part is measured in docs/speed.md, "The fast recipe".
"""

import contextlib
import pathlib

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
    from keras_port import training

# Of the flags of train_cnn.py.
DEFAULTS = {"batch_size": 300, "max_steps": 550, "learning_rate": 3e-3}


def train_cnn_fast(
    workdir: pathlib.Path,
    *,
    data_dir: pathlib.Path | None = None,
    batch_size: int = 300,
    max_steps: int = 550,
    eval_freq: int = 550,
    patience: int = 20,
    learning_rate: float = 3e-3,
    seed: int = 1,
    save_freq: int = cli.SAVE_FREQ,
    mmap: bool = False,
    precision: str | None = None,
    num_devices: int = 1,
) -> runs.Results:
    """Trains the network, or resumes its training, and returns the results."""
    devices = (
        distribution.mirrored_strategy(num_devices).scope()
        if num_devices > 1
        else contextlib.nullcontext()
    )
    mnist = datasets.load_mnist(data_dir, mmap=mmap)
    precision = precision or best_precision()
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
            "recipe": "fast",
            "precision": precision,
            # A longer cycle has another rate at every step: another run.
            "cycle_steps": max_steps,
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
        model = models.build_cnn(
            dropout_rate=0.25, kernel_initializer="he_normal"
        )
        model.compile(
            optimizer=optimizers.Adam(one_cycle(learning_rate, max_steps)),
            loss=losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
            # Trains on 64 examples of every batch, those with a high loss more
            # likely; in the first 150 steps on the first 64.
            example_selection=training.HardExamples(64, warmup_batches=150),
        )

    cli.announce(run)
    run.fit(
        model,
        lambda start_batch: datasets.shuffled_batches(
            mnist.train,
            batch_size,
            seed=seed,
            start_batch=start_batch,
            # Moves every image by up to two pixels.
            max_shift=2,
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
                overwrite=True,
            ),
        ],
    )
    return run.finish(
        model,
        validation=mnist.validation,
        test=mnist.test,
        dataset=cli.dataset_name(data_dir),
    )


def one_cycle(
    peak: float, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a rate that rises to its peak and falls to 0 along a cosine.

    Args:
        peak: The highest rate, after a fifth of the steps.
        steps: Steps of the cycle.
    """
    rising = 0.2 * steps
    return keras.optimizers.schedules.CosineDecay(
        peak / 25,
        decay_steps=steps - rising,
        warmup_target=peak,
        warmup_steps=rising,
    )


def best_precision() -> str:
    """Returns the precision in which this machine trains fastest."""
    return "bfloat16" if cli.has_bfloat16() else "float32"
