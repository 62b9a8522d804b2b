"""What mlflow, wandb and optuna are told about a training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_port import callbacks
from keras_port.datasets import Splits
from keras_port.datasets import shuffled_batches
from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_perceptron


def build() -> keras.Model:
    model = build_perceptron()
    model.compile(
        keras.optimizers.SGD(0.5),
        CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def evaluate(splits: Splits, eval_freq: int) -> callbacks.StepEvaluation:
    return callbacks.StepEvaluation(splits.validation, eval_freq=eval_freq)


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yields mlflow with its own store, and ends `autolog` afterwards."""
    module = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    module.set_tracking_uri("sqlite:///mlflow.db")
    yield module
    module.tensorflow.autolog(disable=True)


def test_autolog_infers_a_signature(mlflow: Any, small_mnist: Splits) -> None:
    # It reads the training data from the first positional argument of `fit`.
    mlflow.tensorflow.autolog(log_datasets=False)
    with mlflow.start_run() as run:
        model = build()
        model.fit(
            shuffled_batches(small_mnist.train, 100, seed=1),
            steps_per_epoch=2,
            verbose=0,
        )
    uri = f"runs:/{run.info.run_id}/model"
    signature = mlflow.models.get_model_info(uri).signature
    assert signature is not None
    assert signature.inputs.inputs[0].shape == (-1, 784)
    images = np.random.default_rng(1).random((5, 784), "float32")
    np.testing.assert_allclose(
        mlflow.pyfunc.load_model(uri).predict(images),
        model.predict(images, verbose=0),
        atol=1e-6,
    )


def test_autolog_reads_an_epoch_of_batches_to_its_end(
    mlflow: Any, small_mnist: Splits
) -> None:
    mlflow.tensorflow.autolog(log_models=False)
    batches = shuffled_batches(small_mnist.train, 100, seed=1, epochs=2)
    with mlflow.start_run() as run:
        build().fit(batches, verbose=0)
    inputs = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert len(inputs) == 1


def test_autolog_finds_the_epoch_that_early_stopping_restored(
    mlflow: Any, small_mnist: Splits
) -> None:
    mlflow.tensorflow.autolog(log_models=False, log_datasets=False)
    stopping = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=1, restore_best_weights=True
    )
    with mlflow.start_run() as run:
        build().fit(
            shuffled_batches(small_mnist.train, 100, seed=1),
            steps_per_epoch=2,
            epochs=60,
            callbacks=[stopping, evaluate(small_mnist, 2)],
            verbose=0,
        )
    metrics = mlflow.get_run(run.info.run_id).data.metrics
    assert metrics["restored_epoch"] == stopping.best_epoch


@pytest.mark.parametrize("is_first", [True, False])
def test_optuna_prunes_after_an_epoch_in_any_order(
    is_first: bool, small_mnist: Splits
) -> None:
    optuna = pytest.importorskip("optuna")
    integration = pytest.importorskip("optuna_integration")
    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=1.1)
    )
    trial = study.ask()
    both = [
        integration.KerasPruningCallback(trial, "val_accuracy"),
        evaluate(small_mnist, 3),
    ]
    with pytest.raises(optuna.TrialPruned, match="epoch 0"):
        build().fit(
            shuffled_batches(small_mnist.train, 100, seed=1),
            steps_per_epoch=6,
            callbacks=both if is_first else both[::-1],
            verbose=0,
        )


def test_wandb_saves_the_model_of_every_epoch_that_improves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_mnist: Splits
) -> None:
    wandb = pytest.importorskip("wandb")
    wandb_keras = pytest.importorskip("wandb.integration.keras")
    monkeypatch.chdir(tmp_path)
    with wandb.init(mode="offline", project="test", dir=tmp_path):
        checkpoint = wandb_keras.WandbModelCheckpoint(
            "{epoch}.keras", monitor="val_accuracy", save_best_only=True
        )
        history = build().fit(
            shuffled_batches(small_mnist.train, 100, seed=1),
            steps_per_epoch=2,
            epochs=3,
            callbacks=[checkpoint, evaluate(small_mnist, 2)],
            verbose=0,
        )
    values = history.history["val_accuracy"]
    best = [
        epoch + 1
        for epoch, value in enumerate(values)
        if value > max(values[:epoch], default=0)
    ]
    saved = sorted(int(path.stem) for path in tmp_path.glob("*.keras"))
    assert saved == best
