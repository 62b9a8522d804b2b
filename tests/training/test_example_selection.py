"""Training on the examples of a batch that have a high loss."""

from pathlib import Path
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import distribution
from keras_port.callbacks import TrainingState
from keras_port.losses import CourseCrossEntropy
from keras_port.training import GradientModel
from keras_port.training import HardExamples
from keras_port.training.example_selection import example_losses
from keras_port.training.example_selection import sample_without_replacement


def compiled(
    hard_examples: int | None, loss: Any = "mse", warmup: int = 0
) -> GradientModel:
    """Returns a model of three weights, the same each time."""
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(1, kernel_initializer="ones")(inputs)
    model = GradientModel(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=loss,
        example_selection=(
            None
            if hard_examples is None
            else HardExamples(hard_examples, warmup_batches=warmup)
        ),
    )
    return model


def batch(hard: int, easy: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns examples that `compiled` knows, and `hard` ones in front."""
    x = np.random.default_rng(1).normal(size=(hard + easy, 3)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    y[:hard] += 1
    return x, y


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
def test_gradients_are_those_of_the_hard_examples(reduction: str) -> None:
    x, y = batch(hard=4, easy=20)
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    result = compiled(4, loss).compute_gradients(x, y)
    alone = compiled(None, loss).compute_gradients(x[:4], y[:4])
    for (found, _), (expected, _) in zip(
        result.grads_and_vars, alone.grads_and_vars, strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    whole = compiled(None, loss).compute_gradients(x, y)
    np.testing.assert_allclose(result.loss, whole.loss, rtol=1e-6)
    np.testing.assert_allclose(result.outputs, whole.outputs, rtol=1e-6)


def test_a_batch_that_is_smaller_is_used_whole() -> None:
    x, y = batch(hard=2, easy=3)
    found = compiled(9).compute_gradients(x, y).grads_and_vars[0][0]
    expected = compiled(None).compute_gradients(x, y).grads_and_vars[0][0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_examples_without_a_weight_are_not_drawn() -> None:
    x, y = batch(hard=8, easy=0)
    weights = np.array([1, 0, 1, 0, 0, 0, 0, 0], "float32")
    found = compiled(2).compute_gradients(x, y, weights).grads_and_vars[0][0]
    expected = compiled(None).compute_gradients(x[[0, 2]], y[[0, 2]])
    np.testing.assert_allclose(found, expected.grads_and_vars[0][0], rtol=1e-5)


def test_the_chance_is_in_proportion_to_the_loss() -> None:
    losses = tf.constant([1.0, 2.0, 0.0, 5.0])
    draw = tf.function(
        lambda number: sample_without_replacement(losses, 1, number)
    )
    counts = np.zeros(4)
    for number in range(2000):
        [index] = draw(tf.constant(number, tf.int64))
        counts[index] += 1
    # Four standard deviations of such a count are at most 90.
    np.testing.assert_allclose(counts, [250, 500, 0, 1250], atol=90)


def test_none_is_drawn_twice() -> None:
    losses = tf.constant([100.0, 1e-9, 0.0, -3.0])
    picked = sample_without_replacement(losses, 4, tf.constant(1, tf.int64))
    assert sorted(picked.numpy()) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("loss", "y", "outputs", "expected"),
    [
        ("mse", [[1.0, 3.0]], [[0.0, 0.0]], [5.0]),
        (keras.losses.MeanSquaredError(), [[1.0], [3]], [[0.0], [0]], [1, 9]),
        (
            keras.losses.SparseCategoricalCrossentropy(),
            [0, 1],
            [[0.5, 0.5], [0.75, 0.25]],
            np.log([2, 4]),
        ),
        (
            CourseCrossEntropy("sum"),
            [0, 1],
            [[0.5, 0.5], [0.75, 0.25]],
            np.log([2, 4]),
        ),
    ],
)
def test_loss_of_each_example(
    loss: Any, y: Any, outputs: Any, expected: Any
) -> None:
    found = example_losses(loss, np.array(y), np.array(outputs, "float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fit_trains_and_a_saved_model_goes_on(tmp_path: Path) -> None:
    x, y = batch(hard=4, easy=28)
    model = compiled(4, warmup=1)
    history = model.fit(x, y, batch_size=16, epochs=3, verbose=0)
    # The loss of all: a mean over the hard ones alone would begin near 1.
    assert history.history["loss"][0] < 0.5
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.get_compile_config()
    selection = config["example_selection"]["config"]
    assert selection == {"count": 4, "warmup_batches": 1}


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_the_first_batches_are_cut(steps_per_execution: int) -> None:
    x, y = batch(hard=24, easy=0)
    warm, cut = compiled(2, warmup=2), compiled(2)
    for model in (warm, cut):
        model.steps_per_execution = steps_per_execution
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(6)
    cut_batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(6)
    cut_batches = cut_batches.map(lambda x, y: (x[:2], y[:2]))
    warm.fit(batches.take(2), verbose=0)
    cut.fit(cut_batches.take(2), verbose=0)
    np.testing.assert_array_equal(*(m.get_weights()[0] for m in (warm, cut)))
    assert warm.step_log.read(0, 2).examples.tolist() == [2, 2]
    # From the third on, both look at all of a batch.
    for model in (warm, cut):
        model.fit(batches.skip(2), verbose=0)
    np.testing.assert_array_equal(*(m.get_weights()[0] for m in (warm, cut)))
    assert warm.step_log.read(2, 4).examples.tolist() == [6, 6]


def test_a_training_resumes_within_and_after_the_first_batches(
    tmp_path: Path,
) -> None:
    x, y = batch(hard=24, easy=0)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(6).repeat()

    def train(until: int) -> np.ndarray:
        model = compiled(2, warmup=2)
        state = TrainingState(tmp_path)
        model.fit(
            batches.skip(state.batches_seen),
            steps_per_epoch=until - state.batches_seen,
            callbacks=[state],
            verbose=0,
        )
        weights: np.ndarray = model.get_weights()[0]
        return weights

    parts = [train(until) for until in (1, 3, 5)][-1]
    shutil.rmtree(tmp_path)
    np.testing.assert_array_equal(parts, train(5))


def test_a_batch_without_a_dataset_is_cut_as_well() -> None:
    x, y = batch(hard=6, easy=0)
    weights = np.ones(6, "float32")
    warm, cut = compiled(2, warmup=1), compiled(2)
    warm.train_on_batch(x, y, sample_weight=weights)
    cut.train_on_batch(x[:2], y[:2], sample_weight=weights[:2])
    np.testing.assert_array_equal(*(m.get_weights()[0] for m in (warm, cut)))


def test_the_draw_depends_on_the_batch_and_on_nothing_else() -> None:
    x, y = batch(hard=30, easy=0)
    gradients = []
    for trained in (0, 1, 1):
        model = compiled(3)
        model.optimizer.learning_rate = 0
        for _ in range(trained):
            model.train_on_batch(x, y)
        gradients.append(
            model.compute_gradients(x, y).grads_and_vars[0][0].numpy()
        )
    assert not np.array_equal(gradients[0], gradients[1])
    np.testing.assert_array_equal(gradients[1], gradients[2])


@pytest.mark.parametrize(
    ("count", "loss", "warmup", "part"),
    [
        (0, "mse", 0, "positive integer"),
        (1.5, "mse", 0, "positive integer"),
        (3, None, 0, "needs one loss"),
        (3, ["mse"], 0, "needs one loss"),
        (3, "mse", -1, "in batches"),
        (3, "mse", 0.5, "in batches"),
    ],
)
def test_wrong_arguments_are_refused(
    count: Any, loss: Any, warmup: Any, part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        compiled(count, loss, warmup)


def test_several_devices_are_refused() -> None:
    with (
        distribution.mirrored_strategy(2).scope(),
        pytest.raises(ValueError, match="several devices"),
    ):
        compiled(3)


def per_example(y: Any, outputs: Any) -> Any:
    return tf.reduce_mean((y - outputs) ** 2, axis=-1)


class PerExample(keras.losses.Loss):
    def call(self, y: Any, outputs: Any) -> Any:
        return per_example(y, outputs)


@pytest.mark.parametrize("loss", [per_example, PerExample()])
def test_integer_targets_are_cast_as_keras_does(loss: Any) -> None:
    x, _ = batch(4, 4)
    model = compiled(2, loss)
    before = model.get_weights()[0]
    model.fit(x, np.arange(8)[:, None], verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])


def test_a_loss_of_one_number_is_refused() -> None:
    def whole(y: Any, outputs: Any) -> Any:
        return tf.reduce_mean((y - outputs) ** 2)

    with pytest.raises(ValueError, match=r"`whole` returns one number for the"):
        compiled(2, whole).fit(*batch(4, 4), verbose=0)


def test_weights_of_time_steps_choose_the_examples() -> None:
    outputs = tf.zeros((3, 2, 1))
    y = tf.constant([[[1.0], [9.0]], [[2.0], [2.0]], [[3.0], [0.0]]])
    weights = tf.constant([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    found = example_losses("mse", y, outputs, weights)
    np.testing.assert_allclose(found, [0.5, 4.0, 0.0])
    columns = example_losses("mse", y[:, 0], outputs[:, 0], tf.ones((3, 1)))
    np.testing.assert_allclose(columns, [1, 4, 9])
    rows = example_losses("mse", y, outputs, tf.constant([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(rows, [41, 8, 0])


def test_xla_sees_the_whole_batch_after_the_warm_up() -> None:
    x, y = batch(4, 8)
    losses = []
    for jit_compile in (False, True):
        model = compiled(4, warmup=2)
        model.compile(
            keras.optimizers.SGD(0.0),
            "mse",
            example_selection=HardExamples(4, warmup_batches=2),
            jit_compile=jit_compile,
        )
        model.fit(x, y, batch_size=6, epochs=2, shuffle=False, verbose=0)
        losses.append((model.batch_loss, model.history.history["loss"]))
        assert list(model.step_log.read(0, 9).examples) == [4, 4, 6, 6]
    assert losses[0] == (
        pytest.approx(losses[1][0]),
        pytest.approx(losses[1][1]),
    )


def test_steps_that_a_mask_leaves_out_do_not_count() -> None:
    inputs = keras.Input((3,))
    embedded = keras.layers.Embedding(5, 2, mask_zero=True)(inputs)
    outputs = keras.layers.Dense(1, kernel_initializer="zeros")(embedded)
    found = keras.Model(inputs, outputs)(np.array([[1, 2, 0], [3, 0, 0]]))
    y = tf.constant([[[1.0], [3.0], [99.0]], [[2.0], [99.0], [99.0]]])
    np.testing.assert_allclose(example_losses("mse", y, found), [5, 4])
