"""Adam is TensorFlow 1's, and a Keras optimizer in all else."""

from collections.abc import Callable
import contextlib
from pathlib import Path
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import TrainingState
from keras_port.optimizers import Adam
from keras_port.tf1 import load_checkpoint
from keras_port.tf1 import save_checkpoint
from keras_port.training import GradientModel

v1 = tf.compat.v1
# float64 rounds to 1e-16; beta^t is a product of t factors in TensorFlow 1 and
# Keras, and one power here.
FLOAT64 = 1e-13
# Hyper-parameters that float32 holds: Keras' own Adam rounds its betas to it,
# also for weights of float64.
EXACT = {"beta_1": 0.875, "beta_2": 1 - 2**-10, "epsilon": 2**-20}
Weights = list[np.ndarray]


def gradients_of(steps: int) -> list[np.ndarray]:
    """Returns one gradient of three weights for each step."""
    return list(np.random.default_rng(2).normal(size=(steps, 3)))


def descend(
    optimizer: keras.optimizers.Optimizer,
    gradients: list[np.ndarray],
    *,
    dtype: str = "float64",
) -> np.ndarray:
    """Returns three weights, from 1, 2 and 3 on, after these gradients."""
    variable = keras.Variable([1.0, 2.0, 3.0], dtype=dtype)
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, dtype)], [variable])
    return np.asarray(variable)


def descend_in_tensorflow_1(
    optimizer: Callable[[], Any], gradients: list[np.ndarray], *, dtype: str
) -> np.ndarray:
    """Returns the same weights after the steps of a TensorFlow 1 graph."""
    with tf.Graph().as_default() as graph:
        gradient = v1.placeholder(dtype, [3])
        variable = v1.Variable(
            tf.constant([1, 2, 3], dtype), use_resource=False
        )
        step = optimizer().apply_gradients([(gradient, variable)])
        init = v1.global_variables_initializer()
    with contextlib.closing(v1.Session(graph=graph)) as session:
        session.run(init)
        for value in gradients:
            session.run(step, {gradient: value})
        weights: np.ndarray = session.run(variable)
    return weights


@pytest.mark.usefixtures("float64")
def test_fifty_steps_are_those_of_tensorflow_1() -> None:
    def tensorflow_1() -> Any:
        # From plain numbers it would make float32 tensors.
        numbers = [tf.constant(n, tf.float64) for n in (0.01, 0.8, 0.99, 1e-3)]
        return v1.train.AdamOptimizer(*numbers)

    gradients = gradients_of(50)
    ours = descend(Adam(0.01, 0.8, 0.99, 1e-3), gradients)
    expected = descend_in_tensorflow_1(tensorflow_1, gradients, dtype="float64")
    np.testing.assert_allclose(ours, expected, rtol=0, atol=FLOAT64)
    assert np.abs(ours - [1, 2, 3]).max() > 0.01
    # An epsilon that is only a little larger is noticed.
    other = descend(Adam(0.01, 0.8, 0.99, 1.001e-3), gradients)
    assert np.abs(other - expected).max() > 1e3 * FLOAT64


def test_defaults_are_those_of_tensorflow_1() -> None:
    # So small that the epsilon decides: 1e-7 would halve the steps.
    gradients = [1e-7 * gradient for gradient in gradients_of(20)]
    expected = descend_in_tensorflow_1(
        v1.train.AdamOptimizer, gradients, dtype="float32"
    )
    ours = descend(Adam(), gradients, dtype="float32")
    # 20 steps of up to 1e-3, on weights of 3 that round to 2e-7 each time.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=20 * 2e-7)
    keras_own = descend(keras.optimizers.Adam(), gradients, dtype="float32")
    assert np.abs(keras_own - expected).max() > 1e-4


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.125},
        {"clipnorm": 0.5},
        {"clipvalue": 0.25},
        {"global_clipnorm": 0.5},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
        {"gradient_accumulation_steps": 4},
        {"loss_scale_factor": 8.0},
    ],
    ids=lambda options: next(iter(options), "plain"),
)
def test_options_of_every_optimizer_are_those_of_keras(
    options: dict[str, Any],
) -> None:
    gradients = gradients_of(12)
    ours, expected = (
        descend(kind(2**-7, **EXACT, **options), gradients)
        for kind in (Adam, keras.optimizers.Adam)
    )
    np.testing.assert_allclose(ours, expected, rtol=0, atol=FLOAT64)
    if options and "loss_scale_factor" not in options:
        # The option does something.
        plain = descend(Adam(2**-7, **EXACT), gradients)
        assert np.abs(plain - ours).max() > 1e-6


def test_an_option_it_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not recognized: .*amsgrad"):
        Adam(amsgrad=True)


@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_refused(name: str, decay: float) -> None:
    message = (
        f"^`{name}` must be at least 0 and below 1. Received: {name}={decay}$"
    )
    with pytest.raises(ValueError, match=message):
        Adam(**{name: decay})


@pytest.mark.usefixtures("float64")
def test_a_schedule_sets_the_rate_of_each_step() -> None:
    def schedule() -> keras.optimizers.schedules.LearningRateSchedule:
        return keras.optimizers.schedules.PiecewiseConstantDecay(
            [3, 6], [2**-3, 2**-6, 2**-9]
        )

    gradients = gradients_of(9)
    ours, expected = (
        descend(kind(schedule(), **EXACT), gradients)
        for kind in (Adam, keras.optimizers.Adam)
    )
    np.testing.assert_allclose(ours, expected, rtol=0, atol=FLOAT64)
    assert np.abs(ours - descend(Adam(2**-3, **EXACT), gradients)).max() > 0.01


@pytest.mark.usefixtures("float64")
def test_a_rate_set_between_steps_counts_from_there() -> None:
    optimizer = Adam(0.1)
    variable = keras.Variable([1.0, 2.0, 3.0])
    gradient = [tf.ones(3, tf.float64)]
    optimizer.apply(gradient, [variable])
    # Equal gradients: each step is as long as the learning rate.
    np.testing.assert_allclose(variable, [0.9, 1.9, 2.9], atol=1e-7)
    optimizer.learning_rate = 0.01
    optimizer.apply(gradient, [variable])
    np.testing.assert_allclose(variable, [0.89, 1.89, 2.89], atol=1e-7)


@pytest.mark.usefixtures("float64")
def test_the_sparse_gradient_of_an_embedding_counts_as_a_dense_one() -> None:
    sparse, dense = (keras.Variable(np.ones((4, 2))) for _ in range(2))
    one, other = Adam(0.1), Adam(0.1)
    for rows in ([0, 2], [2, 3], [1, 2]):
        slices = tf.IndexedSlices(
            tf.ones((2, 2), tf.float64), tf.constant(rows), (4, 2)
        )
        one.apply([slices], [sparse])
        other.apply([tf.convert_to_tensor(slices)], [dense])
    np.testing.assert_array_equal(sparse, dense)


def test_one_replica_is_welcome() -> None:
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        Adam(0.1).build([keras.Variable([1.0])])


@pytest.mark.parametrize(
    "learning_rate",
    [0.02, keras.optimizers.schedules.ExponentialDecay(0.02, 5, 0.5)],
    ids=["number", "schedule"],
)
def test_config_makes_the_same_optimizer(learning_rate: Any) -> None:
    optimizer = Adam(
        learning_rate,
        0.8,
        0.99,
        1e-6,
        name="mine",
        weight_decay=0.1,
        global_clipnorm=2.0,
    )
    serialized = keras.optimizers.serialize(optimizer)
    gradients = gradients_of(5)
    expected = descend(optimizer, gradients, dtype="float32")
    for again in (
        Adam.from_config(optimizer.get_config()),
        keras.optimizers.deserialize(keras.optimizers.serialize(optimizer)),
    ):
        assert type(again) is Adam
        assert keras.optimizers.serialize(again) == serialized
        np.testing.assert_array_equal(
            descend(again, gradients, dtype="float32"), expected
        )


def test_a_scaled_loss_gives_the_same_weights() -> None:
    gradients = gradients_of(10)
    plain = descend(Adam(0.01), gradients, dtype="float32")
    # A power of two, by which float32 is multiplied and divided exactly.
    scale = 2.0**15
    scaled = descend(
        keras.optimizers.LossScaleOptimizer(Adam(0.01), initial_scale=scale),
        [scale * gradient for gradient in gradients],
        dtype="float32",
    )
    np.testing.assert_array_equal(scaled, plain)


def test_a_gradient_that_overflowed_is_left_out() -> None:
    adam = Adam(0.01)
    optimizer = keras.optimizers.LossScaleOptimizer(adam, initial_scale=4)
    variable = keras.Variable([1.0, 2.0, 3.0])
    optimizer.apply([tf.ones(3)], [variable])
    before = [np.asarray(v) for v in (variable, *adam.variables)]
    optimizer.apply([tf.constant([1, np.inf, 1], tf.float32)], [variable])
    after = [np.asarray(v) for v in (variable, *adam.variables)]
    for left, right in zip(before, after, strict=True):
        np.testing.assert_array_equal(left, right)
    assert int(adam.iterations) == 1
    assert float(optimizer.dynamic_scale) == 2


def test_mixed_float16_keeps_float32_slots_and_trains() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    model = small_model()
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    before = model.get_weights()
    train(model, 3)
    adam = model.optimizer.inner_optimizer
    assert type(adam) is Adam
    assert int(adam.iterations) == 3
    assert {v.dtype for v in adam.variables[2:]} == {"float32"}
    # Three steps of 0.01, whatever the scale of the loss.
    for old, new in zip(before, model.get_weights(), strict=True):
        assert 0.005 < np.abs(new - old).max() <= 0.0301


def small_model() -> GradientModel:
    """Returns a compiled model of 15 weights, the same each time."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax", dtype=None)(inputs)
    outputs = keras.layers.Activation("linear", dtype="float32")(outputs)
    model = GradientModel(inputs, outputs)
    model.compile(optimizer=Adam(0.01), loss="sparse_categorical_crossentropy")
    return model


def train(model: keras.Model, steps: int) -> Weights:
    """Trains on the same batch; returns the weights and the slots."""
    x = np.random.default_rng(5).normal(size=(8, 4)).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, x[:, :3].argmax(axis=1))
    values = [*model.weights, *model.optimizer.variables]
    return [np.asarray(value) for value in values]


def restore(kind: str, folder: Path) -> keras.Model:
    """Returns the model that one of the files holds."""
    if kind == "keras":
        return keras.saving.load_model(folder / "model.keras")
    model = small_model()
    # Keras takes slots only where there are slots.
    model.optimizer.build(model.trainable_variables)
    if kind == "weights":
        model.load_weights(folder / "model.weights.h5")
    else:
        checkpoint = tf.train.Checkpoint(model=model)
        checkpoint.read(str(folder / "model")).assert_consumed()
    return model


FORMATS = ("keras", "weights", "checkpoint")
ELEVENTH = """
import pathlib, sys
import numpy as np
from tests.optimizers.test_adam import *

folder = pathlib.Path(sys.argv[1])
for kind in FORMATS:
    np.savez(folder / f"{kind}.npz", *train(restore(kind, folder), 1))
"""


@pytest.fixture(scope="module")
def eleventh(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Weights, Callable[[str], Weights]]:
    """Trains 10 steps, saves, and trains the next here and elsewhere.

    Returns the weights and slots after 11 uninterrupted steps, and a function
    that returns those of a new process, by the kind of file it started from.
    """
    folder = tmp_path_factory.mktemp("eleventh")
    model = small_model()
    train(model, 10)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    tf.train.Checkpoint(model=model).write(str(folder / "model"))
    here = train(model, 1)
    ended = subprocess.run(
        [sys.executable, "-c", ELEVENTH, folder],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr

    def values_of(kind: str) -> Weights:
        with np.load(folder / f"{kind}.npz") as file:
            return [file[name] for name in file.files]

    return here, values_of


@pytest.mark.slow
@pytest.mark.fault("B19")
@pytest.mark.parametrize("kind", FORMATS)
def test_one_step_in_a_new_process_is_step_eleven(
    kind: str, eleventh: tuple[Weights, Callable[[str], Weights]]
) -> None:
    here, values_of = eleventh
    values = values_of(kind)
    for left, right in zip(values, here, strict=True):
        np.testing.assert_array_equal(left, right)
    # Two weights, then the iterations.
    assert int(values[2]) == 11


@pytest.mark.fault("B19")
def test_without_the_slots_step_eleven_is_another(tmp_path: Path) -> None:
    model = small_model()
    train(model, 10)
    model.save_weights(tmp_path / "model.weights.h5")
    again = restore("weights", tmp_path)
    for slot in again.optimizer.variables[2:]:
        slot.assign(tf.zeros_like(slot))
    kernel, expected = train(again, 1)[0], train(model, 1)[0]
    assert np.abs(kernel - expected).max() > 1e-4


@pytest.mark.fault("P14")
@pytest.mark.parametrize(
    "wrap", [lambda f: f, tf.function], ids=["eager", "graph"]
)
def test_it_updates_variables_of_tensorflow(wrap: Any) -> None:
    gradients = gradients_of(5)
    variable = tf.Variable(tf.constant([1.0, 2.0, 3.0], tf.float64))
    other = keras.Variable([[1.0]])  # Both kinds in one optimizer.
    optimizer = Adam(0.1)
    optimizer.build([variable, other])

    @wrap
    def update(gradient: tf.Tensor) -> None:
        optimizer.apply_gradients(
            [(gradient, variable), (tf.constant([[1.0]]), other)]
        )

    for gradient in gradients:
        update(tf.constant(gradient))
    expected = descend(Adam(0.1), gradients)
    np.testing.assert_allclose(variable, expected, rtol=0, atol=FLOAT64)
    assert float(other.numpy()[0, 0]) < 0.6


@pytest.mark.fault("P14")
def test_a_sparse_gradient_of_a_tensorflow_variable_is_summed() -> None:
    variable = tf.Variable(np.ones((3, 2), "float32"))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(tf.gather(variable, [1, 1]))
    gradient = tape.gradient(y, variable)
    assert isinstance(gradient, tf.IndexedSlices)
    Adam(0.1).apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(variable[:, 0], [1, 0.9, 1], atol=1e-6)


@pytest.mark.fault("P18")
def test_optimizers_are_numbered_as_those_of_keras() -> None:
    # As in the newest Keras; in 3.12 all have one name.
    assert [Adam().name for _ in range(3)] == ["adam", "adam_1", "adam_2"]
    assert Adam(name="mine").name == "mine"


@pytest.mark.fault("P18")
def test_files_do_not_depend_on_the_number(tmp_path: Path) -> None:
    def model_with(optimizer: Adam) -> keras.Model:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((3,), name="x")
        model = GradientModel(inputs, keras.layers.Dense(2, name="d")(inputs))
        model.compile(optimizer, "mse")
        return model

    def fit(model: keras.Model, steps: int, state: TrainingState) -> None:
        x = np.ones((4 * steps, 3), "float32")
        model.fit(x, x[:, :2], batch_size=4, verbose=0, callbacks=[state])

    first = model_with(Adam())
    fit(first, 3, TrainingState(tmp_path / "state"))
    first.save(tmp_path / "m.keras")
    first.save_weights(tmp_path / "m.weights.h5")
    save_checkpoint(first, tmp_path / "old/model.ckpt")
    expected = [np.asarray(v) for v in first.optimizer.variables]

    others = [keras.saving.load_model(tmp_path / "m.keras")]
    for load in (
        lambda m: m.load_weights(tmp_path / "m.weights.h5"),
        lambda m: load_checkpoint(m, tmp_path / "old/model.ckpt"),
    ):
        others.append(model_with(Adam()))
        others[-1].optimizer.build(others[-1].trainable_variables)
        load(others[-1])
    assert others[-1].optimizer.name == "adam_2"
    for other in others:
        for one, value in zip(other.optimizer.variables, expected, strict=True):
            np.testing.assert_allclose(one, value, rtol=1e-6)

    resumed = model_with(Adam())
    state = TrainingState(tmp_path / "state")
    assert state.step == 3
    fit(resumed, 2, state)
    assert int(resumed.optimizer.iterations) == 5
