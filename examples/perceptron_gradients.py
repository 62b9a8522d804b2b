"""Lesson 1b: computes the gradients, prints them and applies them.

Prints the pairs of gradient and variable for one batch. Then trains the
perceptron without `fit`, in the two steps `compute_gradients` and
`apply_gradients`, and shows the test accuracy every --eval_freq steps.
"""

from typing import Any

from absl import flags
import cli

with cli.quiet_imports():
    import keras
    import numpy as np
    import tensorflow as tf

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


def describe(grads_and_vars: list[tuple[Any, Any]]) -> str:
    """Returns a line for every pair, with the gradient's range and norm."""
    lines = []
    for gradient, variable in grads_and_vars:
        values = np.asarray(gradient)
        lines.append(
            f"({variable.path}, shape {tuple(variable.shape)}): gradient from "
            f"{values.min():.6f} to {values.max():.6f}, norm "
            f"{np.linalg.norm(values):.6f}"
        )
    return "\n".join(lines)


def train_in_two_steps(
    model: models.ImageModel,
    splits: datasets.Splits,
    *,
    batch_size: int,
    max_steps: int,
    eval_freq: int,
    seed: int,
) -> list[tuple[int, float]]:
    """Trains without `fit` and returns (step, test accuracy) pairs."""

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        result = model.compute_gradients(x, y)
        model.apply_gradients(result.grads_and_vars)
        return result.loss

    evaluation = training.Evaluator(model, splits.test)
    batches = datasets.shuffled_batches(splits.train, batch_size, seed=seed)
    accuracies = []
    for number, (x, y) in enumerate(batches.take(max_steps), start=1):
        loss = step(x, y)
        if number % eval_freq == 0 or number == max_steps:
            accuracy = evaluation.evaluate()["accuracy"]
            accuracies.append((number, accuracy))
            print(
                f"step {number:,}  loss {float(loss):.6f}  "
                f"test_accuracy {accuracy:.4f}"
            )
    return accuracies


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_training_flags(max_steps=1000, eval_freq=50, learning_rate=0.01)


def main() -> None:
    """Runs the script with the values of the flags."""
    mnist = datasets.load_mnist(cli.data_dir())
    options = cli.training_arguments()
    keras.utils.set_random_seed(flags.FLAGS.seed)
    model = build_model(options.pop("learning_rate"))
    x, y = mnist.train.next_batch(5)
    result = model.compute_gradients(x, y)
    print(f"loss {float(result.loss):.8f}\n{describe(result.grads_and_vars)}")
    accuracies = train_in_two_steps(model, mnist, **options)
    step, accuracy = accuracies[-1]
    print(f"Test accuracy {accuracy:.4f} after {step:,} steps.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
