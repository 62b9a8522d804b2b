"""Results with several values: a number, and a curve, for each of them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TensorBoard
from keras_port.training import flatten_results
from tests.callbacks.tensorboard.networks import stock_model
from tests.callbacks.tensorboard.written import curve
from tests.callbacks.tensorboard.written import written
from tests.small import small_arrays
from tests.small import small_model


@keras.saving.register_keras_serializable("tests")
class Extremes(keras.metrics.Metric):
    """Returns a dictionary: the least and the greatest prediction."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low = self.add_variable((), "zeros", name="low")
        self.high = self.add_variable((), "zeros", name="high")

    def update_state(self, y: Any, p: Any, sample_weight: Any = None) -> None:
        self.low.assign(tf.reduce_min(p))
        self.high.assign(tf.reduce_max(p))

    def result(self) -> dict[str, Any]:
        return {"low": self.low.value, "high": self.high.value}


METRICS = {
    "f1_score": (keras.metrics.F1Score, ["f1_score_0", "f1_score_2"]),
    "r2_score": (
        lambda: keras.metrics.R2Score(class_aggregation=None),
        ["r2_score_0", "r2_score_2"],
    ),
    # Keras names the values of a dictionary by their keys alone.
    "extremes": (Extremes, ["low", "high"]),
}


@pytest.mark.fault("C14")
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("make", [small_model, stock_model])
def test_a_metric_with_several_values_has_a_curve_for_each(
    tmp_path: Path, name: str, make: Any
) -> None:
    make_metric, tags = METRICS[name]
    model = make()
    model.compile("sgd", "categorical_crossentropy", metrics=[make_metric()])
    x, y = small_arrays()
    targets = np.eye(3, dtype="float32")[y]
    history = model.fit(
        x,
        targets,
        batch_size=16,
        shuffle=False,
        validation_data=(x, targets),
        callbacks=[TensorBoard(tmp_path)],
        verbose=0,
    )
    for run in ("train", "validation"):
        assert set(tags) <= set(written(tmp_path)[run])
        assert not [tag for tag in written(tmp_path)[run] if tag == name]
    assert list(curve(tmp_path, "train", tags[0])) == [1, 2, 3]
    if name != "extremes":
        values = history.history[name][0]
        assert curve(tmp_path, "train", tags[1])[3] == pytest.approx(values[2])


def test_a_name_for_every_value() -> None:
    results = {
        "loss": tf.constant(1.5),
        "f1": np.float32([0.25, 0.5]),
        "iou": {"cat": 1, "dogs": [2, np.float64(3)]},
        "half": tf.constant(2, tf.bfloat16),
        "text": "no number",
    }
    assert flatten_results(results) == {
        "loss": 1.5,
        "f1_0": 0.25,
        "f1_1": 0.5,
        "cat": 1,
        "dogs_0": 2,
        "dogs_1": 3,
        "half": 2,
    }


@pytest.mark.fault("P24")
@pytest.mark.parametrize("make", [small_model, stock_model])
def test_the_validation_of_fit_is_at_its_step(
    tmp_path: Path, make: Any
) -> None:
    x, y = small_arrays()
    history = (
        make()
        .fit(
            x,
            y,
            batch_size=16,
            epochs=2,
            validation_data=small_arrays(9),
            callbacks=[TensorBoard(tmp_path, tags={"accuracy": "right"})],
            verbose=0,
        )
        .history
    )
    for tag, name in (("loss", "val_loss"), ("right", "val_accuracy")):
        points = curve(tmp_path, "validation", tag)
        assert list(points) == [3, 6]
        assert list(points.values()) == pytest.approx(history[name])


@pytest.mark.fault("P24")
def test_it_does_not_mix_with_an_evaluation_of_that_name(
    tmp_path: Path,
) -> None:
    x, y = small_arrays()
    evaluation = StepEvaluation((x, y), eval_freq=2, prefix="validation")
    small_model().fit(
        x,
        y,
        batch_size=16,
        validation_data=small_arrays(9),
        callbacks=[TensorBoard(tmp_path), evaluation],
        verbose=0,
    )
    assert list(curve(tmp_path, "validation", "loss")) == [2]
    assert list(curve(tmp_path, "epoch_validation", "loss")) == [3]
