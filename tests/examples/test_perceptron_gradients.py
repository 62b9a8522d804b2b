"""Lesson 1b computes the gradients, looks at them, applies them."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import perceptron_gradients
import pytest
import train_perceptron

from keras_port import datasets
from tests.small import same_weights


def train(
    model: keras.Model, splits: datasets.Splits, **changes: int
) -> list[tuple[int, float]]:
    """Trains for three steps."""
    options = {"batch_size": 20, "max_steps": 3, "eval_freq": 2, "seed": 1}
    return perceptron_gradients.train_in_two_steps(
        model, splits, **(options | changes)
    )


def test_the_pairs_are_shown_with_their_size(
    mnist: datasets.Splits,
) -> None:
    model = train_perceptron.build_model(0.01)
    x, y = mnist.train[:5].next_batch(5)
    pairs = model.compute_gradients(x, y).grads_and_vars
    lines = perceptron_gradients.describe(pairs).splitlines()
    assert [line.split("):")[0] for line in lines] == [
        "(fc/kernel, shape (784, 10)",
        "(fc/bias, shape (10,)",
    ]
    # The gradient of the bias is (0.1 - share of the class) / 10.
    share = y.mean(axis=0)
    expected = (0.1 - share) / 10
    assert lines[1].endswith(
        f"gradient from {expected.min():.6f} to {expected.max():.6f}, norm "
        f"{np.linalg.norm(expected):.6f}"
    )


def test_accuracies_come_each_eval_freq_steps_and_at_the_end(
    small_mnist: datasets.Splits,
) -> None:
    model = train_perceptron.build_model(0.01)
    accuracies = train(model, small_mnist)
    assert [step for step, _ in accuracies] == [2, 3]
    right = model.predict(
        small_mnist.test.images.reshape(-1, 784).astype("float32") / 255,
        verbose=0,
    ).argmax(axis=1)
    expected = np.mean(right == small_mnist.test.labels)
    assert accuracies[-1][1] == pytest.approx(expected)


def test_the_two_steps_are_those_of_fit(small_mnist: datasets.Splits) -> None:
    by_hand = train_perceptron.build_model(0.01)
    train(by_hand, small_mnist)
    by_fit = train_perceptron.build_model(0.01)
    batches = datasets.shuffled_batches(small_mnist.train, 20, seed=1)
    by_fit.fit(batches, steps_per_epoch=3, verbose=0)
    assert by_fit.get_weights()[0].any()
    for left, right in zip(
        by_hand.get_weights(), by_fit.get_weights(), strict=True
    ):
        # Two graphs of the same operations may round in another order.
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-8)


def test_a_seed_gives_one_training_to_the_bit(
    small_mnist: datasets.Splits,
) -> None:
    weights = []
    for seed in (1, 1, 2):
        model = train_perceptron.build_model(0.01)
        train(model, small_mnist, seed=seed)
        weights.append(model.get_weights())
    assert same_weights(weights[0], weights[1])
    assert not same_weights(weights[0], weights[2])


def test_the_script_prints_pairs_steps_and_the_result(
    run_script: Callable[..., tuple[int, str, str]], data_dir: Path
) -> None:
    code, out, _ = run_script(
        perceptron_gradients,
        *(f"--data_dir={data_dir}", "--max_steps=2", "--eval_freq=1"),
        "--batch_size=10",
    )
    assert code == 0
    lines = out.splitlines()
    # log(10) over one in ten elements.
    assert lines[0] == f"loss {np.log(10) / 10:.8f}"
    assert [line.split(":")[0] for line in lines[1:3]] == [
        "(fc/kernel, shape (784, 10))",
        "(fc/bias, shape (10,))",
    ]
    assert [line.split("  ")[0] for line in lines[3:5]] == ["step 1", "step 2"]
    assert lines[5].startswith("Test accuracy 0.")
    assert lines[5].endswith(" after 2 steps.")
