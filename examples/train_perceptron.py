"""Lesson 1: trains the one-layer perceptron.

Prints every intermediate value of the untrained network for five images, then
trains for --max_steps steps and shows the validation and test accuracy every
--eval_freq steps. Ctrl-C stops the training cleanly; the same command resumes
it.
"""

import contextlib
import pathlib

import cli

with cli.quiet_imports():
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_port import callbacks
    from keras_port import datasets
    from keras_port import losses
    from keras_port import models
    from keras_port import runs
    from keras_port import training


def train_perceptron(
    workdir: pathlib.Path,
    *,
    data_dir: pathlib.Path | None = None,
    batch_size: int = 100,
    max_steps: int = 1000,
    eval_freq: int = 50,
    patience: int = 20,
    learning_rate: float = 0.01,
    seed: int = 1,
    save_freq: int = cli.SAVE_FREQ,
    mmap: bool = False,
) -> runs.Results:
    """Trains the network, or resumes its training, and returns the results."""
    mnist = datasets.load_mnist(data_dir, mmap=mmap)
    cli.check_batch_size(batch_size, len(mnist.train))
    settings = {
        "data_dir": data_dir,
        "batch_size": batch_size,
        "eval_freq": eval_freq,
        "patience": patience,
        "learning_rate": learning_rate,
        "seed": seed,
        "script": "train_perceptron",
    }
    run = runs.Run(
        workdir, settings=settings, max_steps=max_steps, save_freq=save_freq
    )
    if run.results is not None:
        cli.announce_finished(run)
        return run.results

    keras.utils.set_random_seed(seed)
    model = build_model(learning_rate)
    x, y = mnist.train.next_batch(5)
    with np.printoptions(precision=4, suppress=True, linewidth=100):
        for name, value in compute_intermediate_values(model, x, y).items():
            print(f"{name} =\n{value}")
    accuracy = training.Evaluator(model, mnist.test).evaluate()["accuracy"]
    print(f"Before training: test accuracy {accuracy:.4f}.")

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
            callbacks.StepEvaluation(
                mnist.test, eval_freq=eval_freq, prefix="test"
            ),
        ],
        # A step is so short that a call with one step is mostly overhead.
        max_steps_per_execution=50,
    )
    # The model has the best weights now.
    return run.finish(
        model,
        validation=mnist.validation,
        test=mnist.test,
        dataset=cli.dataset_name(data_dir),
    )


def build_model(learning_rate: float) -> models.ImageModel:
    """Builds the course's perceptron and compiles it as the course does."""
    model = models.build_perceptron()
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate),
        loss=losses.CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def compute_intermediate_values(
    model: models.ImageModel, x: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """Computes every value between the images and the loss, as in lesson 1.

    Args:
        model: The perceptron.
        x: Images, float32 (batch, 784).
        y: One-hot labels, float32 (batch, 10).
    """
    weights, bias = model.get_layer("fc").get_weights()
    outputs = np.asarray(model(x))
    logs = np.log(outputs)
    return {
        "x W": x @ weights,
        "x W + b": x @ weights + bias,
        "y": outputs,
        "y_ log y": y * logs,
        "loss": -np.mean(y * logs),
        "correct prediction": outputs.argmax(1) == y.argmax(1),
    }


def use_one_thread_per_operation() -> None:
    """Makes TensorFlow run every matrix product on one thread.

    The products take microseconds, and splitting one takes longer than
    computing it. A process that has already used TensorFlow keeps its threads.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_run_flags(
        workdir="runs/perceptron",
        max_steps=1000,
        eval_freq=50,
        learning_rate=0.01,
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    use_one_thread_per_operation()
    results = train_perceptron(**cli.run_arguments())
    print(cli.summarize(results))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
