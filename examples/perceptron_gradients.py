"""Lesson 1b: computes the gradients, looks at them, applies them.

Prints the pairs of gradient and variable of one batch, then trains the
perceptron in these two named steps, without `fit`, and shows the test accuracy
each --eval_freq steps.
"""

from absl import flags
import cli  # First: it sets what TensorFlow reads when it is imported.
import keras
import numpy as np
import run_settings
import tensorflow as tf
import train_perceptron

from keras_port import datasets
from keras_port import models
from keras_port import training


def define_flags() -> None:
    """Defines the flags of this script."""
    run_settings.define_data_dir()
    run_settings.define_steps(max_steps=1000, eval_freq=50, learning_rate=0.01)


def describe(pairs: list[training.gradient_result.Pair]) -> str:
    """Returns the pairs as lesson 1b shows them, and how large they are."""
    lines = []
    for gradient, variable in pairs:
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
            accuracy = evaluation()["accuracy"]
            accuracies.append((number, accuracy))
            print(
                f"step {number:,}  loss {float(loss):.6f}  "
                f"test_accuracy {accuracy:.4f}"
            )
    return accuracies


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    splits = datasets.load_mnist(run_settings.data_dir_from_flags())
    keras.utils.set_random_seed(values.seed)
    model = train_perceptron.build_model(values.learning_rate)
    x, y = splits.train.next_batch(5)
    result = model.compute_gradients(x, y)
    print(f"loss {float(result.loss):.8f}\n{describe(result.grads_and_vars)}")
    accuracies = train_in_two_steps(
        model,
        splits,
        batch_size=values.batch_size,
        max_steps=values.max_steps,
        eval_freq=values.eval_freq,
        seed=values.seed,
    )
    step, accuracy = accuracies[-1]
    print(f"Test accuracy {accuracy:.4f} after {step:,} steps.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
