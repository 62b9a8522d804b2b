"""Searches of keras-tuner, whose callbacks and weights are its own."""

from pathlib import Path
from typing import Any

import keras
import pytest

from keras_port import callbacks
from keras_port.datasets import Splits
from keras_port.datasets import shuffled_batches
from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_perceptron


@pytest.fixture
def kt() -> Any:
    """Returns keras-tuner."""
    return pytest.importorskip("keras_tuner")


def build(hp: Any) -> keras.Model:
    model = build_perceptron()
    model.compile(
        keras.optimizers.SGD(hp.Float("learning_rate", 0.01, 5.0)),
        CourseCrossEntropy(),
        metrics=["accuracy"],
    )
    return model


def search(tuner: Any, splits: Splits, *more: Any, **kwargs: Any) -> list[Any]:
    """Returns the trials, after 6 steps per epoch."""
    evaluation = callbacks.StepEvaluation(splits.validation, eval_freq=6)
    tuner.search(
        shuffled_batches(splits.train, 100, seed=1),
        steps_per_epoch=6,
        callbacks=[evaluation, *more],
        verbose=0,
        **kwargs,
    )
    return list(tuner.oracle.trials.values())


def get_accuracy(model: keras.Model, splits: Splits) -> float:
    images = splits.validation.images.reshape(-1, 784) / 255.0
    labels = splits.validation.labels
    return float(model.evaluate(images, labels, verbose=0)[1])


@pytest.mark.fault("E3", "E5")
def test_hyperband_goes_on_with_earlier_trials(
    kt: Any, tmp_path: Path, small_mnist: Splits
) -> None:
    tuner = kt.Hyperband(
        build,
        objective="val_accuracy",
        max_epochs=3,
        factor=2,
        directory=tmp_path,
        seed=1,
    )
    trials = search(tuner, small_mnist)
    assert {trial.status for trial in trials} == {"COMPLETED"}
    assert any("tuner/trial_id" in t.hyperparameters.values for t in trials)
    for trial in trials:
        found = get_accuracy(tuner.load_model(trial), small_mnist)
        assert found == pytest.approx(trial.score, abs=1e-6)


@pytest.mark.fault("E4")
def test_every_trial_has_its_own_curves(
    kt: Any, tmp_path: Path, small_mnist: Splits
) -> None:
    tuner = kt.RandomSearch(
        build, objective="val_accuracy", max_trials=2, directory=tmp_path / "kt"
    )
    curves = callbacks.TensorBoard(tmp_path / "curves")
    trials = search(tuner, small_mnist, curves)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    for trial in trials:
        folder = tmp_path / "curves" / trial.trial_id / "execution0"
        assert list(folder.rglob("events.out.tfevents.*"))


@pytest.mark.fault("E6")
def test_a_second_search_takes_the_callbacks_of_the_first(
    kt: Any, tmp_path: Path, small_mnist: Splits
) -> None:
    stopping = callbacks.StepEarlyStopping(patience=1)
    model = build(kt.HyperParameters())
    evaluation = callbacks.StepEvaluation(small_mnist.validation, eval_freq=2)
    model.fit(
        shuffled_batches(small_mnist.train, 100, seed=1),
        steps_per_epoch=4,
        callbacks=[stopping, evaluation],
        verbose=0,
    )
    tuner = kt.RandomSearch(
        build, objective="val_accuracy", max_trials=1, directory=tmp_path
    )
    [trial] = search(tuner, small_mnist, stopping, epochs=3)
    assert trial.status == "COMPLETED"
