"""Slots and step counts move both ways, and the training goes on the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import optimizers
from keras_port.tf1 import list_variables
from keras_port.tf1 import load_checkpoint
from keras_port.tf1 import save_checkpoint
from tests.tf1.sessions import counted
from tests.tf1.sessions import small_model
from tests.tf1.sessions import small_program
from tests.tf1.sessions import train
from tests.tf1.sessions import write

v1 = tf.compat.v1
# Losses are about 1, which float32 rounds to 6e-8; each of the steps rounds in
# each of some 10 operations. A slot left behind shows at 1e-3.
TOLERANCE = 2e-6
STEPS = 12
# TensorFlow 1's optimizer and the one of Keras that continues it.
PAIRS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "adam": (
        lambda: v1.train.AdamOptimizer(0.01),
        lambda: optimizers.Adam(0.01),
    ),
    "keras adam": (
        lambda: v1.train.AdamOptimizer(0.01, 0.8, 0.99),
        lambda: keras.optimizers.Adam(0.01, 0.8, 0.99, epsilon=1e-8),
    ),
    "adam by another name": (
        lambda: v1.train.AdamOptimizer(0.01, name="Mine"),
        lambda: optimizers.Adam(0.01),
    ),
    "sgd": (
        lambda: v1.train.GradientDescentOptimizer(0.1),
        lambda: keras.optimizers.SGD(0.1),
    ),
    "momentum": (
        lambda: v1.train.MomentumOptimizer(0.05, 0.9),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    ),
    "nesterov": (
        lambda: v1.train.MomentumOptimizer(0.05, 0.9, use_nesterov=True),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    ),
    "rmsprop": (
        lambda: v1.train.RMSPropOptimizer(0.003, 0.9, epsilon=1e-4),
        lambda: keras.optimizers.RMSprop(0.003, rho=0.9, epsilon=1e-4),
    ),
    "rmsprop with momentum": (
        lambda: v1.train.RMSPropOptimizer(0.01, 0.8, 0.5, 1e-7),
        lambda: keras.optimizers.RMSprop(
            0.01, rho=0.8, momentum=0.5, epsilon=1e-7
        ),
    ),
    "centered rmsprop": (
        lambda: v1.train.RMSPropOptimizer(0.01, 0.9, 0.5, 1e-3, centered=True),
        lambda: keras.optimizers.RMSprop(
            0.01, rho=0.9, momentum=0.5, epsilon=1e-3, centered=True
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_keras_goes_on_where_tensorflow_1_stopped(
    tmp_path: Path, name: str
) -> None:
    theirs, ours = PAIRS[name]
    with small_program(theirs) as program:
        program.train(STEPS)
        program.save(tmp_path / "m")
        expected = program.train(STEPS)
    model = small_model(ours())
    report = load_checkpoint(model, tmp_path / "m")
    assert report.step == int(model.optimizer.iterations) == STEPS
    assert np.abs(np.subtract(train(model, STEPS), expected)).max() <= TOLERANCE
    if name != "sgd":
        # The slots matter: without them the losses are others.
        load_checkpoint(model, tmp_path / "m", include_optimizer=False)
        fresh = small_model(ours())
        fresh.set_weights(model.get_weights())
        difference = np.subtract(train(fresh, STEPS), expected)
        assert np.abs(difference).max() > 100 * TOLERANCE


@pytest.mark.parametrize(
    "name", [name for name in PAIRS if name != "adam by another name"]
)
def test_tensorflow_1_goes_on_where_keras_stopped(
    tmp_path: Path, name: str
) -> None:
    theirs, ours = PAIRS[name]
    model = small_model(ours())
    train(model, STEPS)
    export = save_checkpoint(model, tmp_path / "m", names="numbered")
    assert export.step == STEPS
    expected = train(model, STEPS)
    with small_program(theirs) as program:
        # The Saver of the program's own graph: all its names must be there.
        program.restore(tmp_path / "m")
        found = program.train(STEPS)
    assert np.abs(np.subtract(found, expected)).max() <= TOLERANCE


@pytest.mark.parametrize("name", ["adam", "momentum", "centered rmsprop"])
def test_there_and_back_is_the_same(tmp_path: Path, name: str) -> None:
    model = small_model(PAIRS[name][1]())
    train(model, 7)
    save_checkpoint(model, tmp_path / "m")
    other = small_model(PAIRS[name][1]())
    report = load_checkpoint(other, tmp_path / "m")
    assert report.step == 7
    for one, two in zip(
        model.optimizer.variables, other.optimizer.variables, strict=True
    ):
        # Momentum is divided and multiplied by the learning rate.
        assert np.allclose(one, two, rtol=3e-7, atol=0)


def test_an_optimizer_that_has_not_begun_is_written_with_empty_slots(
    tmp_path: Path,
) -> None:
    model = small_model(optimizers.Adam(0.01))
    save_checkpoint(model, tmp_path / "m", names="numbered")
    with small_program(PAIRS["adam"][0]) as program:
        program.restore(tmp_path / "m")
        found = program.train(5)
    assert np.abs(np.subtract(found, train(model, 5))).max() <= TOLERANCE


def test_a_frozen_layer_has_no_slots(tmp_path: Path) -> None:
    model = small_model()
    model.layers[1].trainable = False
    model.compile(optimizers.Adam(0.01), loss="mse")
    train(model, 3)
    save_checkpoint(model, tmp_path / "m", names="numbered")
    slots = [v.of for v in list_variables(tmp_path / "m") if v.of]
    assert set(slots) == {"Variable_2", "Variable_3"}
    assert load_checkpoint(model, tmp_path / "m").step == 3


def test_the_step_can_be_given(tmp_path: Path) -> None:
    model = small_model(optimizers.Adam(0.01))
    train(model, 3)
    save_checkpoint(model, tmp_path / "m")
    report = load_checkpoint(model, tmp_path / "m", step=123)
    assert report.step == int(model.optimizer.iterations) == 123


def test_a_step_beyond_adam_s_powers_is_in_global_step(tmp_path: Path) -> None:
    model = small_model(optimizers.Adam(0.01))
    train(model, 1)
    model.optimizer.iterations.assign(200_000)
    save_checkpoint(model, tmp_path / "m")
    assert load_checkpoint(model, tmp_path / "m").step == 200_000


def adam_values(**changes: Any) -> dict[str, Any]:
    """Returns the values of a small program under Adam after 3 steps."""
    values: dict[str, Any] = {}
    for name, shape in (
        ("Variable", (6, 5)),
        ("Variable_1", (5,)),
        ("Variable_2", (5, 3)),
        ("Variable_3", (3,)),
    ):
        for slot in ("", "/Adam", "/Adam_1"):
            values[f"{name}{slot}"] = counted(*shape)
    values["beta1_power"] = np.float32(0.9**4)
    values["beta2_power"] = np.float32(0.999**4)
    return values | changes


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        (
            {"beta1_power": np.float32(0.8**6)},
            "not the powers of beta_1=0.9 and .*Compile with the betas",
        ),
        ({"beta2_power": np.float32(0)}, None),
        ({"beta2_power_1": np.float32(0.5)}, "several beta2_power"),
        (
            {
                "beta1_power": np.float32(0),
                "beta2_power": np.float32(0),
                "global_step": np.int64(1),
                "a/global_step": np.int64(2),
            },
            "several step counts: a/global_step, global_step.*`step=`",
        ),
        (
            {"beta1_power": np.float32(0), "beta2_power": np.float32(0)},
            r"missing in the file: adam/iteration;.*Give the number .* `step=`",
        ),
        (
            {"Variable/Adam_2": counted(6, 5)},
            "3 slots Adam of 'Variable'.*Several optimizers",
        ),
    ],
)
def test_an_unclear_state_is_refused(
    tmp_path: Path, changes: dict[str, Any], part: str | None
) -> None:
    write(tmp_path / "m", adam_values(**changes))
    model = small_model(optimizers.Adam(0.01))
    if part is None:
        assert load_checkpoint(model, tmp_path / "m").step == 3
        return
    before = model.get_weights()
    with pytest.raises(ValueError, match=part):
        load_checkpoint(model, tmp_path / "m")
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    load_checkpoint(model, tmp_path / "m", include_optimizer=False)


def schedule() -> Any:
    """Returns a learning rate that falls."""
    return keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)


@pytest.mark.parametrize(
    ("optimizer", "part"),
    [
        (lambda: keras.optimizers.Adam(amsgrad=True), "`amsgrad=True`"),
        (lambda: keras.optimizers.Adagrad(), "Received: Adagrad"),
        (lambda: keras.optimizers.Adam(use_ema=True), "`use_ema`"),
        (
            lambda: keras.optimizers.SGD(gradient_accumulation_steps=2),
            "`gradient_accumulation_steps`",
        ),
        (
            lambda: keras.optimizers.SGD(schedule(), momentum=0.9),
            "under a learning rate schedule",
        ),
        (
            lambda: keras.optimizers.SGD(0.0, momentum=0.9),
            "`learning_rate=0`",
        ),
    ],
)
def test_a_state_that_tensorflow_1_has_not_is_refused(
    tmp_path: Path, optimizer: Callable[[], Any], part: str
) -> None:
    model = small_model(optimizer())
    with pytest.raises(ValueError, match=f"{part}.*`include_optimizer=False`"):
        save_checkpoint(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())
    save_checkpoint(model, tmp_path / "m", include_optimizer=False)
    with pytest.raises(ValueError, match=f"{part}.*`include_optimizer=False`"):
        load_checkpoint(model, tmp_path / "m")


def test_a_schedule_without_momentum_moves(tmp_path: Path) -> None:
    model = small_model(optimizers.Adam(schedule()))
    train(model, 4)
    save_checkpoint(model, tmp_path / "m")
    other = small_model(optimizers.Adam(schedule()))
    load_checkpoint(other, tmp_path / "m")
    assert float(other.optimizer.learning_rate) == float(
        model.optimizer.learning_rate
    )
    assert train(other, 5) == train(model, 5)


def test_rmsprop_with_another_centered_is_refused(tmp_path: Path) -> None:
    with small_program(PAIRS["rmsprop"][0]) as program:
        program.save(tmp_path / "m")
    model = small_model(keras.optimizers.RMSprop(centered=True))
    with pytest.raises(ValueError, match="different `centered`"):
        load_checkpoint(model, tmp_path / "m")


def test_the_slots_of_another_optimizer_are_not_taken(tmp_path: Path) -> None:
    with small_program(PAIRS["momentum"][0]) as program:
        program.save(tmp_path / "m")
    with pytest.raises(ValueError, match="adam/dense/kernel/momentum"):
        load_checkpoint(small_model(optimizers.Adam()), tmp_path / "m")
    keras.utils.clear_session()
    model = small_model(keras.optimizers.SGD(0.1))
    report = load_checkpoint(model, tmp_path / "m")
    assert "Variable/Momentum" in report.unused_slots
