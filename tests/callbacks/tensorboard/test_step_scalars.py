"""Curves whose values and steps are those of the training itself."""

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.models import build_perceptron
from keras_port.training import GradientModel
from tests.callbacks.tensorboard.networks import mean_of
from tests.callbacks.tensorboard.networks import steps_by_hand
from tests.callbacks.tensorboard.networks import stock_model
from tests.callbacks.tensorboard.networks import train
from tests.callbacks.tensorboard.written import curve
from tests.callbacks.tensorboard.written import steps_of
from tests.callbacks.tensorboard.written import written
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model

# The same float32 operations in a graph and one by one may be rounded
# differently, and so may sums that are taken apart again.
ROUNDING = {"rel": 1e-4, "abs": 1e-6}


def perceptron() -> GradientModel:
    """Returns the perceptron, with a rate that float32 holds exactly."""
    keras.utils.set_random_seed(1)
    model = build_perceptron()
    model.compile(
        keras.optimizers.SGD(0.25),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def images(splits: datasets.Splits) -> tf.data.Dataset:
    """Returns the batches of the training below."""
    return datasets.shuffled_batches(splits.train, 50, seed=1)


@pytest.fixture(scope="module")
def course(
    tmp_path_factory: pytest.TempPathFactory, small_mnist: datasets.Splits
) -> tuple[Path, dict[str, list[float]]]:
    """Trains the perceptron for 10 steps; returns the folder and history."""
    folder = tmp_path_factory.mktemp("course")
    ticks = itertools.count(0, 2)
    history = perceptron().fit(
        images(small_mnist),
        steps_per_epoch=10,
        callbacks=[
            StepEvaluation(small_mnist.validation, eval_freq=4),
            TensorBoard(
                folder,
                tags={"accuracy": "accuracy_1"},
                clock=lambda: float(next(ticks)),
            ),
        ],
        verbose=0,
    )
    return folder, history.history


Course = tuple[Path, dict[str, list[float]]]


@pytest.mark.fault("B26")
def test_validation_stands_at_true_steps_beside_the_training(
    course: Course,
) -> None:
    folder, history = course
    every = list(range(1, 11))
    assert steps_of(folder, "train", "loss") == every
    assert steps_of(folder, "train", "accuracy_1") == every
    for tag, name in (("loss", "val_loss"), ("accuracy_1", "val_accuracy")):
        points = curve(folder, "validation", tag)
        assert list(points) == [4, 8]
        assert list(points.values()) == pytest.approx(history[name])


def test_each_step_has_its_own_loss_norm_and_accuracy(
    course: Course, small_mnist: datasets.Splits
) -> None:
    folder, _ = course
    steps = steps_by_hand(perceptron(), images(small_mnist), 10)
    for tag, values in (
        ("loss", [step.loss for step in steps]),
        ("optimizer/gradient_norm", [step.norm for step in steps]),
        ("accuracy_1", [step.accuracy for step in steps]),
    ):
        points = curve(folder, "train", tag)
        assert list(points.values()) == pytest.approx(values, **ROUNDING), tag


@pytest.mark.fault("B34")
def test_a_constant_rate_is_there_at_each_step(course: Course) -> None:
    folder, _ = course
    rates = curve(folder, "train", "optimizer/learning_rate")
    assert rates == dict.fromkeys(range(1, 11), 0.25)


@pytest.mark.fault("B35")
def test_the_speed_has_points_at_true_steps(course: Course) -> None:
    folder, _ = course
    # The clock shows 0 after step 1, and 2 more each time it is asked.
    speed = curve(folder, "train", "speed/steps_per_second")
    assert speed == {4: 1.5, 8: 2.0, 10: 1.0}
    examples = curve(folder, "train", "speed/examples_per_second")
    assert examples == {4: 75.0, 8: 100.0, 10: 50.0}


def test_tags_take_the_place_of_the_names(course: Course) -> None:
    runs = written(course[0])
    assert set(runs) == {"train", "validation"}
    assert "accuracy" not in runs["train"]
    assert set(runs["validation"]) == {"loss", "accuracy_1"}


@pytest.mark.fault("B27")
def test_steps_are_iterations_when_one_call_makes_several(
    tmp_path: Path,
) -> None:
    model = small_model(steps_per_execution=5)
    train(model, [TensorBoard(tmp_path)], steps=10)
    steps = steps_by_hand(small_model(), small_batches(), 10)
    every = list(range(1, 11))
    for tag, values in (
        ("loss", [step.loss for step in steps]),
        ("optimizer/gradient_norm", [step.norm for step in steps]),
    ):
        points = curve(tmp_path, "train", tag)
        assert list(points) == every
        assert list(points.values()) == pytest.approx(values, **ROUNDING)
    accuracies = curve(tmp_path, "train", "accuracy")
    means = [mean_of([s.accuracy for s in steps], a, a + 4) for a in (1, 6)]
    assert accuracies == pytest.approx({5: means[0], 10: means[1]})


@pytest.mark.fault("B27")
def test_steps_of_a_stock_model_are_iterations_too(tmp_path: Path) -> None:
    model = stock_model(steps_per_execution=5)
    train(model, [TensorBoard(tmp_path)], steps=10)
    steps = steps_by_hand(small_model(), small_batches(), 10)
    means = [mean_of([s.loss for s in steps], at, at + 4) for at in (1, 6)]
    losses = curve(tmp_path, "train", "loss")
    assert losses == pytest.approx({5: means[0], 10: means[1]}, **ROUNDING)


@pytest.mark.fault("B28")
@pytest.mark.parametrize("make", [small_model, stock_model])
def test_a_second_fit_goes_on_with_the_curves(
    tmp_path: Path, make: Any
) -> None:
    model = make()
    board = TensorBoard(tmp_path)
    train(model, [board], steps=2)
    train(model, [board], steps=2)
    steps = steps_by_hand(small_model(), small_batches(), 2)
    for tag in ("loss", "accuracy", "optimizer/learning_rate"):
        assert steps_of(tmp_path, "train", tag) == [1, 2, 3, 4], tag
    losses = curve(tmp_path, "train", "loss")
    first = [losses[1], losses[2]]
    assert first == pytest.approx([s.loss for s in steps], **ROUNDING)


class HalvedRate(keras.callbacks.Callback):
    """Halves the learning rate after each step, as somebody's would."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        rate = self.model.optimizer.learning_rate
        self.model.optimizer.learning_rate = float(rate) / 2


@pytest.mark.fault("B34")
@pytest.mark.parametrize("make", [small_model, stock_model])
def test_the_rate_at_a_step_is_the_one_it_used(
    tmp_path: Path, make: Any
) -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    halved = [0.5, 0.25, 0.125, 0.0625]
    optimizer = keras.optimizers.SGD(schedule)
    train(make(optimizer=optimizer), [TensorBoard(tmp_path / "a")], steps=4)
    scheduled = curve(tmp_path / "a", "train", "optimizer/learning_rate")
    assert scheduled == dict(zip(range(1, 5), halved, strict=True))
    # Before and behind this callback in the list.
    for name, places in (("b", slice(None)), ("c", slice(None, None, -1))):
        model = make(optimizer=keras.optimizers.SGD(0.5))
        callbacks = [TensorBoard(tmp_path / name), HalvedRate()]
        train(model, callbacks[places], steps=4)
        rates = curve(tmp_path / name, "train", "optimizer/learning_rate")
        assert rates == scheduled, name


@pytest.mark.parametrize(
    ("make", "update_freq"),
    [(small_model, 4), (stock_model, 4), (stock_model, 6)],
)
def test_metrics_are_of_the_steps_between_also_across_epochs(
    tmp_path: Path, make: Any, update_freq: int
) -> None:
    # Also where `fit` validates with the same metrics at the epoch's end.
    train(
        make(),
        [TensorBoard(tmp_path, update_freq=update_freq)],
        steps=4,
        epochs=3,
        validation_data=small_arrays(7),
    )
    steps = steps_by_hand(small_model(), small_batches(), 12)
    due = range(update_freq, 13, update_freq)
    accuracies = [s.accuracy for s in steps]
    losses = [s.loss for s in steps]
    assert curve(tmp_path, "train", "accuracy") == pytest.approx(
        {at: mean_of(accuracies, at - update_freq + 1, at) for at in due}
    )
    expected = {at: losses[at - 1] for at in due}
    if make is stock_model:
        expected = {at: mean_of(losses, at - update_freq + 1, at) for at in due}
    loss = curve(tmp_path, "train", "loss")
    assert loss == pytest.approx(expected, **ROUNDING)


def test_a_stock_model_on_arrays_has_a_loss_at_each_step(
    tmp_path: Path,
) -> None:
    x, y = small_arrays()
    stock_model().fit(
        x,
        y,
        batch_size=8,
        epochs=2,
        shuffle=False,
        callbacks=[TensorBoard(tmp_path)],
        verbose=0,
    )
    steps = steps_by_hand(small_model(), small_batches(), 12)
    losses = curve(tmp_path, "train", "loss")
    assert list(losses) == list(range(1, 13))
    values = [step.loss for step in steps]
    assert list(losses.values()) == pytest.approx(values, **ROUNDING)
    assert "optimizer/gradient_norm" not in written(tmp_path)["train"]


def test_no_step_is_lost_in_a_long_epoch(tmp_path: Path) -> None:
    model = small_model()
    train(model, [TensorBoard(tmp_path, write_graph=False)], steps=300)
    for tag in (
        "loss",
        "optimizer/gradient_norm",
        "optimizer/learning_rate",
        "accuracy",
    ):
        assert steps_of(tmp_path, "train", tag) == list(range(1, 301)), tag
    assert steps_of(tmp_path, "train", "speed/steps_per_second") == [256, 300]
    # Nobody asks for norms any more.
    assert int(model.step_log.norm_freq) == 0


def test_update_freq_thins_all_curves(tmp_path: Path) -> None:
    train(small_model(), [TensorBoard(tmp_path, update_freq=3)], steps=8)
    for tag in (
        "loss",
        "optimizer/gradient_norm",
        "optimizer/learning_rate",
        "accuracy",
    ):
        assert steps_of(tmp_path, "train", tag) == [3, 6], tag
    norms = curve(tmp_path, "train", "optimizer/gradient_norm")
    assert np.isfinite(list(norms.values())).all()


def test_a_step_of_several_batches_is_there_once(tmp_path: Path) -> None:
    model = small_model(gradient_accumulation_steps=2)
    train(model, [TensorBoard(tmp_path)], steps=8)
    for tag in ("loss", "optimizer/learning_rate", "accuracy"):
        assert steps_of(tmp_path, "train", tag) == [1, 2, 3, 4], tag
    by_hand = small_model(gradient_accumulation_steps=2)
    steps = steps_by_hand(by_hand, small_batches(), 8)
    accuracies = [step.accuracy for step in steps]
    assert curve(tmp_path, "train", "accuracy") == pytest.approx(
        {at: mean_of(accuracies, 2 * at - 1, 2 * at) for at in range(1, 5)}
    )


@keras.saving.register_keras_serializable("tests")
class OwnStep(GradientModel):
    """Trains in a step of its own, that keeps no log."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        result = self.compute_gradients(x, y)
        self.apply_gradients(result.grads_and_vars)
        return self.update_metrics(x, y, result, None)


def test_a_train_step_of_ones_own_has_its_loss_and_rate(
    tmp_path: Path,
) -> None:
    plain = small_model()
    model = OwnStep(plain.inputs, plain.outputs)
    model.compile(plain.optimizer, plain.loss, metrics=["accuracy"])
    train(model, [TensorBoard(tmp_path)], steps=3)
    losses = curve(tmp_path, "train", "loss")
    steps = steps_by_hand(small_model(), small_batches(), 3)
    assert losses == pytest.approx(
        {at: step.loss for at, step in enumerate(steps, 1)}, **ROUNDING
    )
    assert list(curve(tmp_path, "train", "optimizer/learning_rate")) == [
        1,
        2,
        3,
    ]


class Clipped(GradientModel):
    """Changes the gradients, and updates no metric."""

    def train_step(self, data: Any) -> Any:
        result = self.compute_gradients(*data)
        self.apply_gradients(
            [(tf.clip_by_norm(g, 1.0), v) for g, v in result.grads_and_vars]
        )
        return {"loss": result.loss}


@pytest.mark.fault("C09")
def test_the_loss_of_a_step_without_metrics_comes_from_the_logs(
    tmp_path: Path,
) -> None:
    plain = small_model()
    model = Clipped(plain.inputs, plain.outputs)
    model.compile(keras.optimizers.SGD(0.05), plain.loss)
    train(model, [TensorBoard(tmp_path)], steps=3)
    losses = curve(tmp_path, "train", "loss")
    assert list(losses) == [1, 2, 3]
    first = steps_by_hand(small_model(), small_batches(), 1)[0].loss
    assert losses[1] == pytest.approx(first, **ROUNDING)


def test_a_metric_that_is_no_mean_stands_for_the_epoch_so_far(
    tmp_path: Path,
) -> None:
    mean = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")
    iou = keras.metrics.IoU(3, [0], sparse_y_pred=False, name="iou")
    model = small_model(metrics=[mean, iou])
    history = train(model, [TensorBoard(tmp_path)], steps=4)
    points = curve(tmp_path, "train", "iou")
    assert list(points) == [1, 2, 3, 4]
    assert points[4] == pytest.approx(history.history["iou"][0])
    top2 = curve(tmp_path, "train", "top2")
    average = float(np.mean(list(top2.values())))
    assert average == pytest.approx(history.history["top2"][0], **ROUNDING)


def test_the_place_in_the_list_of_callbacks_changes_nothing(
    tmp_path: Path,
) -> None:
    found = []
    for name, order in (("a", 1), ("b", -1)):
        board = TensorBoard(tmp_path / name, write_graph=False)
        evaluation = StepEvaluation(small_arrays(9), eval_freq=2)
        train(small_model(), [board, evaluation][::order], steps=5, epochs=2)
        found.append(
            {
                (run, tag): curve(tmp_path / name, run, tag)
                for run, tags in written(tmp_path / name).items()
                for tag in tags
                if not tag.endswith("per_second")
            }
        )
    assert found[0] == found[1]
    assert list(found[0]["validation", "loss"]) == [2, 4, 6, 8, 10]
    assert list(found[0]["train", "accuracy"]) == list(range(1, 11))


def noisy(name: str) -> keras.Model:
    """Returns a model whose training depends on all that could be touched."""
    keras.utils.set_random_seed(6)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(x)
    outputs = keras.layers.Dense(3, activation="softmax", name="last")(x)
    if name == "two outputs":
        model = keras.Model(
            inputs, [outputs, keras.layers.Softmax(name="second")(x)]
        )
        losses = ["sparse_categorical_crossentropy"] * 2
        metrics = [["accuracy"], ["accuracy"]]
        model.compile(optimizer="adam", loss=losses, metrics=metrics)
        return model
    model = GradientModel(inputs, outputs)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("name", ["GradientModel", "two outputs"])
def test_a_training_is_the_same_with_and_without(
    tmp_path: Path, name: str
) -> None:
    x, y = small_arrays()
    targets = (y, y) if name == "two outputs" else y
    found = []
    board = TensorBoard(tmp_path, histogram_freq=2, data=(x, targets))
    evaluation = StepEvaluation((x, targets), eval_freq=3)
    for callbacks in ([], [board, evaluation]):
        model = noisy(name)
        dataset = tf.data.Dataset.from_tensor_slices((x, targets))
        history = model.fit(
            dataset.batch(8).repeat(),
            steps_per_epoch=4,
            epochs=2,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        variables = [*model.variables, *model.optimizer.variables]
        training = {
            key: values
            for key, values in history.history.items()
            if not key.startswith("val_")
        }
        found.append(([np.asarray(v) for v in variables], training))
    assert found[0][1] == found[1][1]
    assert same_weights(found[0][0], found[1][0])


def test_results_of_evaluations_are_curves_of_the_validation_alone(
    tmp_path: Path,
) -> None:
    evaluation = StepEvaluation(small_arrays(9), eval_freq=3)
    board = TensorBoard(tmp_path, update_freq=1)
    train(small_model(), [evaluation, board], steps=8)
    runs = written(tmp_path)
    assert not [tag for tag in runs["train"] if tag.startswith("val_")]
    assert steps_of(tmp_path, "validation", "loss") == [3, 6]
