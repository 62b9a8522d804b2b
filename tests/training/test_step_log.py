"""A log of the newest steps, written inside the step's graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.training import GradientResult
from keras_port.training.step_log import StepLog
from tests.small import small_batches
from tests.small import small_model
from tests.small import train


def write(
    log: StepLog,
    step: int,
    *,
    before: int | None = None,
    is_summed: bool = False,
) -> None:
    """Writes a step whose values tell of it."""
    gradients = [tf.constant([3.0, 0.0]), None, tf.constant([[4.0]])]
    variable = keras.Variable(0.0)
    log.write(
        GradientResult(
            loss=tf.constant(step / 2, tf.float32),
            outputs=None,
            grads_and_vars=[(gradient, variable) for gradient in gradients],
        ),
        before=tf.constant(step - 1 if before is None else before, tf.int64),
        step=tf.constant(step, tf.int64),
        learning_rate=tf.constant(0.5, tf.float32),
        examples=tf.constant(8),
        is_summed=is_summed,
    )


def test_each_step_is_read_once_in_order() -> None:
    log = StepLog(size=4)
    for step in (1, 2, 3):
        write(log, step)
    values = log.read(0, 3)
    assert values.step.tolist() == [1, 2, 3]
    assert values.step.dtype == np.int64
    assert values.loss.tolist() == [0.5, 1.0, 1.5]
    assert values.learning_rate.tolist() == [0.5] * 3
    assert values.examples.tolist() == [8.0] * 3
    assert log.read(1, 2).step.tolist() == [2]


def test_a_sum_is_kept_as_a_mean_too() -> None:
    log = StepLog(size=4)
    write(log, 1)
    write(log, 2, is_summed=True)
    values = log.read(0, 2)
    assert values.loss.tolist() == [0.5, 1.0]
    assert values.mean_loss.tolist() == [0.5, 1.0 / 8]
    assert float(log.batch_loss) == 1.0
    assert float(log.mean_loss) == 1.0 / 8


def test_the_newest_steps_take_the_place_of_the_oldest() -> None:
    log = StepLog(size=4)
    for step in range(1, 7):
        write(log, step)
    assert log.read(0, 6).step.tolist() == [3, 4, 5, 6]


def test_a_batch_that_was_no_update_takes_no_place() -> None:
    log = StepLog(size=4)
    write(log, 4)
    write(log, 4, before=4)
    write(log, 5, before=5)
    assert log.read(0, 9).step.tolist() == [4]


def test_a_step_that_comes_again_is_replaced() -> None:
    log = StepLog(size=4)
    for step in (1, 2, 3, 2):
        write(log, step)
    assert log.read(0, 2).step.tolist() == [1, 2]


def test_the_norm_of_all_gradients_at_the_steps_that_want_it() -> None:
    log = StepLog(size=8)
    write(log, 1)
    log.norm_freq.assign(2)
    for step in (2, 3, 4):
        write(log, step)
    norms = log.read(0, 4).gradient_norm.tolist()
    # Of (3, 0) and (4): the missing gradient counts nothing.
    assert norms == pytest.approx([np.nan, 5.0, np.nan, 5.0], nan_ok=True)


def test_a_model_without_a_callback_keeps_its_steps_without_norms() -> None:
    model = small_model(steps_per_execution=3)
    train(model, [], steps=6)
    values = model.step_log.read(0, 6)
    by_hand = small_model()
    losses = []
    for x, y in small_batches().take(6):
        result = by_hand.compute_gradients(x, y)
        by_hand.apply_gradients(result.grads_and_vars)
        losses.append(float(result.loss))
    assert values.step.tolist() == [1, 2, 3, 4, 5, 6]
    # A graph may round the same float32 operations differently.
    assert values.loss.tolist() == pytest.approx(losses, rel=1e-5)
    assert values.learning_rate.tolist() == pytest.approx([0.05] * 6)
    assert values.examples.tolist() == [8.0] * 6
    assert np.isnan(values.gradient_norm).all()


def test_the_last_smaller_batch_is_counted_as_it_is() -> None:
    model = small_model()
    x = np.ones((10, 4), "float32")
    model.fit(x, np.zeros(10), batch_size=8, verbose=0)
    assert model.step_log.read(0, 2).examples.tolist() == [8.0, 2.0]
