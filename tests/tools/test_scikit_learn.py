"""Estimators of scikit-learn, by Keras' wrapper and by scikeras."""

from collections.abc import Callable
import io
import pickle
from typing import Any

import keras
import numpy as np
import pytest

from keras_port import callbacks
from keras_port.datasets import ImageSplit
from keras_port.datasets import Splits
from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_perceptron


@pytest.fixture(autouse=True)
def scikit_learn() -> None:
    """Skips the tests without scikit-learn."""
    pytest.importorskip("sklearn")


def build(learning_rate: float = 0.5) -> keras.Model:
    model = build_perceptron()
    model.compile(
        keras.optimizers.SGD(learning_rate),
        CourseCrossEntropy("mean_over_elements"),
        metrics=["accuracy"],
    )
    return model


def build_for(X: Any, y: Any) -> keras.Model:  # noqa: N803, what Keras calls
    return build()


def arrays(split: ImageSplit) -> tuple[Any, Any]:
    return split.images.reshape(-1, 784) / np.float32(255), split.labels


def make_wrapper(splits: Splits) -> Any:
    evaluation = callbacks.StepEvaluation(splits.validation, eval_freq=5)
    return keras.wrappers.SKLearnClassifier(
        build_for,
        fit_kwargs={"epochs": 3, "verbose": 0, "callbacks": [evaluation]},
    )


def make_scikeras(splits: Splits) -> Any:
    wrappers = pytest.importorskip("scikeras.wrappers")
    return wrappers.KerasClassifier(
        model=build,
        epochs=3,
        verbose=0,
        callbacks=[
            callbacks.StepEvaluation(splits.validation, eval_freq=5),
            callbacks.StepEarlyStopping(patience=5),
        ],
    )


MAKERS = [make_wrapper, make_scikeras]


def dump_with_joblib(estimator: Any) -> Any:
    joblib = pytest.importorskip("joblib")
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.fault("E2", "E6")
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "duplicate", [lambda one: pickle.loads(pickle.dumps(one)), dump_with_joblib]
)
def test_an_estimator_is_pickled_after_a_training(
    make: Callable[[Splits], Any],
    duplicate: Callable[[Any], Any],
    small_mnist: Splits,
) -> None:
    x, y = arrays(small_mnist.train)
    estimator = make(small_mnist).fit(x, y)
    found = duplicate(estimator).predict(x)
    np.testing.assert_array_equal(found, estimator.predict(x))


@pytest.mark.fault("E1")
@pytest.mark.parametrize("make", MAKERS)
def test_an_evaluation_reads_the_labels_that_a_wrapper_changes(
    make: Callable[[Splits], Any], small_mnist: Splits
) -> None:
    estimator = make(small_mnist)
    estimator.fit(*arrays(small_mnist.train))
    history = getattr(estimator, "history_", None)
    if not isinstance(history, dict):
        history = history.history
    found = float(estimator.score(*arrays(small_mnist.validation)))
    assert max(history["val_accuracy"]) == pytest.approx(found, abs=0.1)


@pytest.mark.parametrize("make", MAKERS)
def test_labels_may_be_text(
    make: Callable[[Splits], Any], small_mnist: Splits
) -> None:
    x, y = arrays(small_mnist.train)
    names = np.array([f"digit {label}" for label in y])
    estimator = make(small_mnist).fit(x, names)
    assert estimator.score(x, names) > 0.6


@pytest.mark.parametrize("make", MAKERS)
def test_a_search_and_a_pipeline_train_clones(
    make: Callable[[Splits], Any], small_mnist: Splits
) -> None:
    selection = pytest.importorskip("sklearn.model_selection")
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x, y = arrays(small_mnist.train)
    steps = pipeline.make_pipeline(
        preprocessing.MinMaxScaler(clip=True), make(small_mnist)
    )
    scores = selection.cross_val_score(steps, x * 255, y, cv=2)
    assert len(scores) == 2
    assert np.isfinite(scores).all()
