"""What decides the rest of a training, and what does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_port.callbacks import TrainingState
from keras_port.callbacks._configuration import compare_configurations
from keras_port.callbacks._configuration import compare_layers
from keras_port.callbacks._configuration import get_configuration
from keras_port.training import GradientModel
from keras_port.training import HardExamples
from tests.small import small_arrays

SPARSE = "sparse_categorical_crossentropy"


def my_loss(y: Any, outputs: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(y, outputs)


def build(
    *,
    outputs: int = 1,
    rate: float = 0.5,
    activation: str = "relu",
    trainable: bool = True,
    dtype: str | None = None,
    regularizer: Any = None,
    seed: int = 1,
    **kwargs: Any,
) -> GradientModel:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(
        8,
        activation,
        trainable=trainable,
        dtype=dtype,
        kernel_regularizer=regularizer,
    )(inputs)
    x = keras.layers.Dropout(rate)(hidden)
    tensors = [
        keras.layers.Dense(3, "softmax", name=name)(x)
        for name in "ab"[:outputs]
    ]
    model = GradientModel(inputs, tensors if outputs > 1 else tensors[0])
    model.compile(
        **{"optimizer": keras.optimizers.SGD(0.1), "loss": SPARSE, **kwargs}
    )
    return model


def fit(model: GradientModel, directory: Path, **kwargs: Any) -> None:
    x, y = small_arrays(16)
    labels = [y] * len(model.outputs) if len(model.outputs) > 1 else y
    state = TrainingState(directory)
    options = {"epochs": state.epoch + 1, **kwargs}
    model.fit(x, labels, callbacks=[state], verbose=0, **options)


Case = tuple[dict[str, Any], dict[str, Any], str]
CASES: list[Case] = [
    ({}, {"loss": my_loss}, "loss sparse_categorical_.* there, my_loss here"),
    (
        {"outputs": 2, "loss": [SPARSE, SPARSE]},
        {"outputs": 2, "loss": [SPARSE, my_loss]},
        r"loss\[1\] sparse_categorical_crossentropy there, my_loss here",
    ),
    (
        {"outputs": 2, "loss": {"a": SPARSE, "b": SPARSE}},
        {"outputs": 2, "loss": {"a": SPARSE, "b": my_loss}},
        r"loss\.b sparse",
    ),
    (
        {"outputs": 2, "loss": [SPARSE] * 2, "loss_weights": [1.0, 1.0]},
        {"outputs": 2, "loss": [SPARSE] * 2, "loss_weights": [1.0, 9.0]},
        r"loss_weights\[1\] 1.0 there, 9.0 here",
    ),
    ({}, {"global_clipnorm": 0.1}, "global_clipnorm None there, 0.1 here"),
    (
        {"example_selection": HardExamples(4)},
        {"example_selection": HardExamples(2)},
        r"example_selection\.count 4 there, 2 here",
    ),
    (
        {"loss": keras.losses.SparseCategoricalCrossentropy()},
        {"loss": keras.losses.SparseCategoricalCrossentropy(ignore_class=1)},
        r"loss\.ignore_class None there, 1 here",
    ),
    ({}, {"rate": 0.1}, r"layer `dropout`\.rate 0.5 there, 0.1 here"),
    ({}, {"activation": "tanh"}, r"layer `dense`\.activation relu there"),
    ({}, {"trainable": False}, r"layer `dense`\.trainable True there, False"),
    ({}, {"dtype": "mixed_bfloat16"}, r"layer `dense`\.dtype float32 there"),
    ({}, {"regularizer": "l2"}, r"layer `dense`\.kernel_regularizer None"),
    (
        {"regularizer": keras.regularizers.L2(0.1)},
        {"regularizer": keras.regularizers.L2(0.2)},
        r"layer `dense`\.kernel_regularizer\.l2 0.1 there, 0.2 here",
    ),
]


@pytest.mark.parametrize(("there", "here", "message"), CASES)
def test_what_decides_the_training_is_refused(
    tmp_path: Path, there: dict[str, Any], here: dict[str, Any], message: str
) -> None:
    fit(build(**there), tmp_path)
    model = build(**here)
    before = [weight.copy() for weight in model.get_weights()]
    with pytest.raises(ValueError, match=message):
        fit(model, tmp_path)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    fit(build(**there), tmp_path)  # What was is accepted.


def test_class_weights_decide(tmp_path: Path) -> None:
    fit(build(), tmp_path, class_weight={0: 1, 1: 2.0, 2: 1})
    with pytest.raises(
        ValueError, match=r"class_weight\.1 2.0 there, 3.0 here"
    ):
        fit(build(), tmp_path, class_weight={0: 1, 1: 3.0, 2: 1})
    fit(build(), tmp_path, class_weight={0: 1.0, 1: 2, 2: 1})


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"loss": "mse"}, {"loss": "mean_squared_error"}),
    ({"loss": "mse"}, {"loss": keras.losses.mean_squared_error}),
    ({}, {"metrics": ["accuracy"], "jit_compile": True}),
    ({}, {"steps_per_execution": 2}),
    ({}, {"seed": 2}),
    # The place of a lambda in its file decides nothing.
    (
        {"loss": lambda y, p: my_loss(y, p)},
        {"loss": lambda y, p: my_loss(y, p)},
    ),
]


@pytest.mark.parametrize(("there", "here"), SAME)
def test_what_decides_nothing_is_accepted(
    there: dict[str, Any], here: dict[str, Any]
) -> None:
    both = [get_configuration(build(**one)) for one in (there, here)]
    assert compare_configurations(*both) == []
    assert compare_layers(*both) == []


def fixed(layer: keras.layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    return GradientModel(inputs, keras.layers.Flatten()(layer(inputs)))


class Broken(keras.layers.Layer):  # type: ignore[misc]
    def get_config(self) -> Any:
        raise RuntimeError("no configuration")

    def call(self, inputs: Any) -> Any:
        return inputs


LAYERS: list[Callable[[], keras.Model]] = [
    lambda: fixed(Broken(), (4,)),
    lambda: fixed(keras.layers.Lambda(lambda x: x + 1), (4,)),
    lambda: fixed(keras.layers.Bidirectional(keras.layers.LSTM(2)), (3, 2)),
    lambda: fixed(keras.layers.TimeDistributed(keras.layers.Dense(2)), (3, 2)),
    lambda: fixed(
        keras.layers.Normalization(mean=[1.0, np.nan], variance=[1.0, 1.0]),
        (2,),
    ),
    lambda: fixed(keras.layers.Rescaling(np.inf), (3, 2)),
    lambda: fixed(
        keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.1)]),
        (4,),
    ),
    lambda: keras.Sequential([keras.layers.Dense(2), keras.layers.Dense(1)]),
]


@pytest.mark.parametrize("make", LAYERS)
def test_every_model_has_the_configuration_of_its_copy(
    make: Callable[[], keras.Model],
) -> None:
    configurations = []
    for _ in range(2):
        model = make()
        model.compile("sgd", "mse")
        configurations.append(get_configuration(model))
    assert compare_configurations(*configurations) == []
    assert compare_layers(*configurations) == []
    assert configurations[0]["layers"]


def test_a_difference_of_many_is_short() -> None:
    def build(rate: float) -> keras.Model:
        layers = [keras.layers.Dropout(rate) for _ in range(9)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("sgd", "mse")
        return model

    lines = compare_layers(
        get_configuration(build(0.1)), get_configuration(build(0.2))
    )
    assert len(lines) == 6
    assert lines[-1] == "and 4 more"


def test_a_layer_that_was_added_is_named() -> None:
    def build(*more: keras.layers.Layer) -> keras.Model:
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(2), *more]
        )
        model.compile("sgd", "mse")
        return model

    (line,) = compare_layers(
        get_configuration(build()),
        get_configuration(build(keras.layers.Dropout(0.1))),
    )
    assert line == "layer `dropout` None there, Dropout here"


def test_a_seed_that_keras_has_drawn_decides_nothing() -> None:
    def build() -> keras.Model:
        layers = [keras.layers.RandomRotation(0.1), keras.layers.Dropout(0.1)]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        model.compile("sgd", "mse")
        return model

    keras.utils.set_random_seed(1)
    one = get_configuration(build())
    keras.utils.set_random_seed(2)
    assert compare_layers(one, get_configuration(build())) == []


@pytest.mark.parametrize("others", [0, 3])
def test_other_models_of_the_process_decide_nothing(others: int) -> None:
    def build() -> keras.Model:
        inner = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dense(2)]
        )
        inputs = keras.Input((3, 4))
        x = keras.layers.TimeDistributed(inner)(inputs)
        outputs = keras.layers.Dense(1)(keras.layers.Dense(1)(x))
        model = GradientModel(inputs, outputs)
        model.compile("sgd", "mse")
        return model

    keras.utils.clear_session()
    one = get_configuration(build())
    keras.utils.clear_session()
    for _ in range(others):
        keras.layers.Dense(1)
    other = get_configuration(build())
    assert compare_layers(one, other) == []
    assert len(one["layers"]) == len(other["layers"]) > 5


class Odd(keras.layers.Layer):  # type: ignore[misc]
    """Has a configuration that nobody would expect."""

    def __init__(self, inner: keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def get_config(self) -> dict[str, Any]:
        return {
            "words": np.array(["a", object], dtype=object),
            "function": str(my_loss),
            "scope": self.name,
            "inner": self.inner,
            "inner_config": self.inner.get_config(),
            "inner_serialized": keras.saving.serialize_keras_object(self.inner),
        }

    def call(self, inputs: Any) -> Any:
        return self.inner(inputs)


def test_an_odd_configuration_is_that_of_its_copy() -> None:
    def build(rate: float) -> keras.Model:
        inner_inputs = keras.Input((4,))
        inner = keras.Model(
            inner_inputs, keras.layers.Dropout(rate)(inner_inputs)
        )
        return fixed(Odd(inner), (4,))

    models = [build(0.1), build(0.1), build(0.2)]
    for model in models:
        model.compile("sgd", "mse")
    one, same, other = map(get_configuration, models)
    assert compare_layers(one, same) == []
    (line,) = compare_layers(one, other)
    assert line.endswith("dropout`.rate 0.1 there, 0.2 here")
