"""Tests of how the metrics of `compile` are chosen before the first step."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import training
from keras_port.training.label_form import choose_metrics
from keras_port.training.label_form import list_metrics

X = np.zeros((6, 4), "float32")
INTEGERS = np.arange(6) % 3
LABELS = {
    "integers": INTEGERS,
    "column": INTEGERS[:, None],
    "one-hot": np.eye(3, dtype="float32")[INTEGERS],
}


def make_model(outputs: int = 3, **kwargs: Any) -> Any:
    """Returns a compiled classifier."""
    inputs = keras.Input((4,))
    model = training.GradientModel(inputs, keras.layers.Dense(outputs)(inputs))
    arguments = {"loss": "mse", "metrics": ["accuracy", "acc"]}
    model.compile("sgd", **arguments | kwargs)
    return model


def name_metrics(model: keras.Model) -> list[str]:
    """Returns the classes of the metrics."""
    return [type(metric).__name__ for metric in list_metrics(model)]


@pytest.mark.parametrize("labels", list(LABELS))
@pytest.mark.parametrize("outputs", [1, 3])
def test_chooses_what_keras_chooses_in_the_first_step(
    labels: str, outputs: int
) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, LABELS[labels])).batch(4)
    model, stock = make_model(outputs), make_model(outputs)
    choose_metrics(model, data.element_spec)
    # Builds the metrics as the first step does.
    y = tf.constant(LABELS[labels])
    stock.compute_metrics(X, y, tf.zeros((6, outputs)), None)
    assert name_metrics(model) == name_metrics(stock)


def test_leaves_what_it_cannot_know() -> None:
    """Keras chooses in the first step, as ever."""

    class Late(training.GradientModel):
        def call(self, x: Any) -> Any:
            return x

    late = Late()
    late.compile("sgd", "mse", metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices((X, INTEGERS)).batch(2)
    unknown = tf.data.Dataset.from_generator(
        lambda: iter([(X, INTEGERS)]), output_types=(tf.float32, tf.int64)
    )
    for model, spec in (
        (late, data.element_spec),
        (make_model(), unknown.element_spec),
        (make_model(), data.map(lambda x, y: x).element_spec),
    ):
        choose_metrics(model, spec)
        assert not any(m.built for m in model.metrics if m.name != "loss")


def test_several_outputs_have_their_own_metrics() -> None:
    inputs = keras.Input((4,))
    outputs = {
        "classes": keras.layers.Dense(3, name="classes")(inputs),
        "value": keras.layers.Dense(1, name="value")(inputs),
    }
    model = training.GradientModel(inputs, outputs)
    model.compile(
        "sgd",
        loss="mse",
        metrics={"classes": ["accuracy"], "value": ["mae"]},
    )
    y = {"classes": INTEGERS, "value": X[:, :1]}
    data = tf.data.Dataset.from_tensor_slices((X, y)).batch(2)
    choose_metrics(model, data.element_spec)
    names = name_metrics(model)
    assert "SparseCategoricalAccuracy" in names
    assert "MeanAbsoluteError" in names


@pytest.mark.parametrize("has_input", [True, False])
def test_a_sequential_model(has_input: bool) -> None:
    """It has no `output`, and knows its shapes only with an input."""

    class Stack(training.GradientModel, keras.Sequential):
        pass

    first = [keras.Input((4,))] if has_input else []
    model = Stack([*first, keras.layers.Dense(3)])
    model.compile("sgd", "mse", metrics=["accuracy"])
    data = tf.data.Dataset.from_tensor_slices((X, LABELS["one-hot"])).batch(2)
    choose_metrics(model, data.element_spec)
    assert bool(name_metrics(model)[2:]) == has_input
    model.fit(data, verbose=0)
    assert "CategoricalAccuracy" in name_metrics(model)


def test_outputs_in_a_dictionary_of_one() -> None:
    inputs = keras.Input((4,))
    model = training.GradientModel(
        inputs, {"classes": keras.layers.Dense(3, name="classes")(inputs)}
    )
    model.compile("sgd", "mse", metrics={"classes": ["accuracy"]})
    data = tf.data.Dataset.from_tensor_slices((X, {"classes": X[:, :3]}))
    history = model.fit(data.batch(2), verbose=0).history
    assert "accuracy" in history


def test_a_metric_with_a_build_of_its_own_is_left_alone() -> None:
    class Sum(keras.metrics.Metric):
        def __init__(self, name: str = "sum") -> None:
            super().__init__(name=name)
            self.built = False

        def build(self, width: int) -> None:
            self.total = self.add_weight(
                name="total", shape=(width,), initializer="zeros"
            )
            self.built = True

        def update_state(
            self, y_true: Any, y_pred: Any, sample_weight: Any = None
        ) -> None:
            if not self.built:
                self.build(y_pred.shape[-1])
            self.total.assign(self.total + keras.ops.sum(y_pred, 0))

        def result(self) -> Any:
            return keras.ops.sum(self.total) if self.built else 0.0

    class Summing(training.GradientModel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.sum = Sum()

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            self.sum.update_state(kwargs["y"], kwargs["y_pred"])
            return keras.ops.mean((kwargs["y"] - kwargs["y_pred"]) ** 2)

    inputs = keras.Input((4,))
    model = Summing(inputs, keras.layers.Dense(3)(inputs))
    model.compile("sgd")
    model.fit(X, X[:, :3], verbose=0)
    assert model.sum.built
