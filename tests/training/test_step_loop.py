"""Tests of what `fit` and `evaluate` call for several steps."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import training
from keras_port.optimizers import Adam


def small_model(cls: Any = training.GradientModel, **kwargs: Any) -> Any:
    """Returns a compiled linear model of three inputs and one output."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    model = cls(inputs, keras.layers.Dense(1)(inputs))
    arguments = {"optimizer": Adam(0.1), "loss": "mse", "metrics": ["mae"]}
    model.compile(**arguments | kwargs)
    return model


def small_data(examples: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and targets."""
    x = np.random.default_rng(1).normal(size=(examples, 3)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def weights_after(steps_per_execution: int, examples: int = 20) -> Any:
    """Returns weights and logs after one epoch of batches of four."""
    model = small_model(steps_per_execution=steps_per_execution)
    history = model.fit(
        *small_data(examples), batch_size=4, shuffle=False, verbose=0
    )
    return model.get_weights(), history.history


@pytest.mark.parametrize("steps", [2, 3, 5, 8])
@pytest.mark.parametrize("examples", [20, 18])
def test_several_steps_per_call_train_as_single_ones(
    steps: int, examples: int
) -> None:
    """Also where the last call or the last batch is not full."""
    weights, history = weights_after(steps, examples)
    expected_weights, expected_history = weights_after(1, examples)
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history == expected_history


@pytest.mark.parametrize("steps", [1, 4])
def test_trains_as_the_loop_of_keras(steps: int) -> None:
    """To the bit: the same steps in the same order."""
    results = []
    for cls in (training.GradientModel, WithTrainStepOfItsOwn):
        model = small_model(cls, steps_per_execution=steps)
        history = model.fit(*small_data(), batch_size=4, verbose=0)
        results.append((model.get_weights(), history.history))
    (weights, history), (expected_weights, expected_history) = results
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history == expected_history


class WithTrainStepOfItsOwn(training.GradientModel):
    """The same step, which Keras' loop runs, since it is another method."""

    def train_step(self, data: Any) -> Any:
        """Trains on a batch."""
        return super().train_step(data)


@pytest.mark.parametrize("metrics", [None, ["mae", "accuracy"]])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_step_is_traced_once(steps: int, metrics: Any) -> None:
    """Each trace of the CNN's step takes a tenth of a second and more."""
    traces = []
    model = small_model(
        metrics=metrics,
        steps_per_execution=steps,
        gradient_observers=[lambda pairs: traces.append(1)],
    )
    x, y = small_data()
    for _ in range(2):
        model.fit(
            tf.data.Dataset.from_tensor_slices((x, y)).batch(4), verbose=0
        )
    assert len(traces) == 1


def test_no_batch_is_lost_between_epochs() -> None:
    """A call takes the batches that it trains on and no other."""
    given: list[int] = []

    def batches() -> Iterator[Any]:
        x, y = small_data(2)
        while True:
            given.append(1)
            yield x, y

    model = small_model(steps_per_execution=3)
    data = tf.data.Dataset.from_generator(
        batches,
        output_signature=(
            tf.TensorSpec((2, 3), tf.float32),
            tf.TensorSpec((2, 1), tf.float32),
        ),
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    data = data.with_options(options)
    model.fit(data, steps_per_epoch=6, epochs=2, verbose=0)
    assert model.batches_seen == 12
    assert len(given) == 12


def test_sample_weights_and_their_absence() -> None:
    """Keras says by an empty optional that there are none."""
    x, y = small_data()
    expected = small_model(steps_per_execution=2)
    expected.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    model = small_model(steps_per_execution=2)
    model.fit(
        x, y, sample_weight=np.ones(20), batch_size=4, shuffle=False, verbose=0
    )
    for one, other in zip(
        model.get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_single_batches() -> None:
    """`train_on_batch` and `test_on_batch` are steps, too."""
    x, y = small_data(4)
    model = small_model(steps_per_execution=5)
    before = model.test_on_batch(x, y, return_dict=True)
    logs = model.train_on_batch(x, y, return_dict=True)
    # Before Keras 3.14 these were arrays without dimensions.
    before, logs = (
        {name: float(value) for name, value in each.items()}
        for each in (before, logs)
    )
    assert logs == pytest.approx(before)
    assert model.batches_seen == 1
    assert model.test_on_batch(x, y, return_dict=True)["loss"] < logs["loss"]


def test_run_eagerly() -> None:
    """Each step is seen by Python, and the result is that of the graph."""
    calls = []
    model = small_model(
        run_eagerly=True,
        steps_per_execution=2,
        gradient_observers=[lambda pairs: calls.append(1)],
    )
    model.fit(*small_data(), batch_size=4, shuffle=False, verbose=0)
    assert len(calls) == 5
    expected, _ = weights_after(2)
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


class WithMoreLogs(training.GradientModel):
    """Logs a value that is no metric."""

    def compute_metrics(self, *args: Any, **kwargs: Any) -> Any:
        """Adds it."""
        logs = super().compute_metrics(*args, **kwargs)
        return logs | {"answer": tf.constant(42.0)}


@pytest.mark.parametrize("steps", [1, 2])
def test_logs_of_a_compute_metrics_of_ones_own(steps: int) -> None:
    """They are what the callbacks of each call get."""
    seen: list[float] = []
    model = small_model(WithMoreLogs, steps_per_execution=steps)
    model.fit(
        *small_data(),
        batch_size=4,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(
                    logs["answer"]
                )
            )
        ],
    )
    assert seen
    assert {float(value) for value in seen} == {42.0}


def test_a_model_that_is_not_built_yet() -> None:
    """Its variables are made in the first step."""
    keras.utils.set_random_seed(1)

    class Late(training.GradientModel):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Late()
    model.compile(Adam(0.1), "mse", metrics=["mae"], steps_per_execution=2)
    model.fit(*small_data(), batch_size=4, verbose=0)
    assert int(model.optimizer.iterations) == 5
    assert len(model.trainable_variables) == 2


def test_by_the_compiler() -> None:
    """XLA runs the same steps."""
    model = small_model(steps_per_execution=2, jit_compile=True)
    model.fit(*small_data(), batch_size=4, shuffle=False, verbose=0)
    expected, _ = weights_after(2)
    for one, other in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_the_perceptron_on_mnist() -> None:
    """Fifty steps in one call are fifty calls of one step."""
    train = datasets.load_mnist().train
    results = []
    for steps in (1, 50):
        model = models.build_perceptron()
        model.compile(
            keras.optimizers.SGD(0.01),
            losses.CourseCrossEntropy(),
            metrics=["accuracy"],
            steps_per_execution=steps,
        )
        batches = datasets.shuffled_batches(train, 100, seed=1)
        history = model.fit(batches, steps_per_epoch=100, verbose=0).history
        results.append((history, model.get_weights()))
    (history, weights), (expected_history, expected_weights) = results
    assert history == expected_history
    for one, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("cls", [training.GradientModel, WithTrainStepOfItsOwn])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_other_steps_per_call_in_the_next_fit(
    cls: Any, jit_compile: bool
) -> None:
    """Stock Keras keeps the old function, and trains 2 steps instead of 10."""
    model = small_model(cls, jit_compile=jit_compile)
    batches = tf.data.Dataset.from_tensor_slices(small_data()).batch(
        4, drop_remainder=True
    )
    x = batches.map(lambda x, y: x)
    for steps in (1, 5, 2):
        model.steps_per_execution = steps
        assert len(model.predict(x, verbose=0)) == 20
        before = model.batches_seen
        model.fit(batches.repeat(), steps_per_epoch=10, verbose=0)
        assert model.batches_seen - before == 10
        assert model.evaluate(batches, verbose=0, return_dict=True)["mae"] > 0
