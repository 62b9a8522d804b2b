"""Names of layers and variables that do not depend on the process."""

from collections.abc import Iterator

import keras
import pytest

from keras_port._support import LayerScope
from keras_port._support import canonical_weight_paths
from keras_port._support import layer_scopes
from keras_port._support import split_number
from keras_port._support import strip_names
from keras_port._support import strip_numbers
from keras_port._support import unnumbered_name
from keras_port._support import variable_names
from keras_port._support.layer_names import snake_case


@pytest.fixture(autouse=True)
def earlier_models() -> Iterator[None]:
    """Builds layers first, so that Keras' own names have numbers."""
    keras.utils.clear_session()
    for _ in range(3):
        keras.Sequential([keras.layers.Dense(1), keras.layers.ReLU()])
    yield
    keras.utils.clear_session()


def dense(count: int, *names: str) -> keras.Sequential:
    """Returns `count` dense layers, the first ones with the names given."""
    given = [*names, *[None] * (count - len(names))]
    layers = [keras.layers.Dense(2, name=name) for name in given]
    return keras.Sequential([keras.Input((2,)), *layers])


def scope_names(model: keras.Layer) -> list[str]:
    return [path for path, _ in layer_scopes(model).walk() if path]


def weight_names(scopes: LayerScope) -> list[str]:
    return [name for name, _ in scopes.variables()]


def test_keras_numbers_start_again_in_every_model() -> None:
    for _ in range(2):
        model = dense(2)
        assert [layer.name for layer in model.layers] != ["dense", "dense_1"]
        assert scope_names(model) == ["dense", "dense_1"]
        assert canonical_weight_paths(model) == [
            "dense/kernel",
            "dense/bias",
            "dense_1/kernel",
            "dense_1/bias",
        ]


def test_names_of_the_user_stay_with_their_numbers() -> None:
    model = dense(3, "layer_7", "conv_2")
    assert scope_names(model) == ["layer_7", "conv_2", "dense"]
    assert canonical_weight_paths(model)[::2] == [
        "layer_7/kernel",
        "conv_2/kernel",
        "dense/kernel",
    ]


@pytest.mark.parametrize("names", [("dense_1", "dense_2"), ("dense_0",)])
def test_numbers_that_start_at_1_are_the_users(names: tuple[str, ...]) -> None:
    # Keras itself starts with `dense`.
    assert scope_names(dense(len(names), *names)) == list(names)


def test_a_name_of_another_class_is_the_users() -> None:
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.ReLU(name="dense_4")]
    )
    assert scope_names(model) == ["dense_4"]


def test_nested_models_have_scopes_of_their_own() -> None:
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(2)(dense(2)(inputs))
    model = keras.Model(inputs, outputs)
    assert scope_names(model)[1:] == [
        "sequential",
        "sequential/dense",
        "sequential/dense_1",
        "dense",
    ]
    # In a checkpoint the numbers run through the whole model.
    assert [path.split("/")[-2] for path in canonical_weight_paths(model)] == [
        "dense",
        "dense",
        "dense_1",
        "dense_1",
        "dense_2",
        "dense_2",
    ]


def test_layers_inside_layers_have_scopes() -> None:
    model = keras.Sequential(
        [keras.Input((3, 2)), keras.layers.Bidirectional(keras.layers.GRU(2))]
    )
    assert scope_names(model) == [
        "bidirectional",
        "bidirectional/forward_gru",
        "bidirectional/forward_gru/gru_cell",
        "bidirectional/backward_gru",
        "bidirectional/backward_gru/gru_cell",
    ]
    assert weight_names(layer_scopes(model))[0] == (
        "bidirectional/forward_gru/gru_cell/kernel"
    )


def test_a_renamed_layer_has_its_new_name() -> None:
    model = dense(2)
    model.layers[0].name = "hidden"
    assert scope_names(model) == ["hidden", "dense"]
    assert weight_names(layer_scopes(model))[::2] == [
        "hidden/kernel",
        "dense/kernel",
    ]


def test_a_layer_used_twice_has_one_name() -> None:
    shared = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((2,)), shared, shared])
    assert scope_names(model) == ["dense"]
    assert weight_names(layer_scopes(model)) == ["dense/kernel", "dense/bias"]


def test_a_model_loses_the_number_of_its_own_name() -> None:
    assert unnumbered_name(dense(1)) == "sequential"
    assert unnumbered_name(keras.Sequential(name="tower_2")) == "tower_2"


@pytest.mark.parametrize("scaled", [False, True])
def test_optimizer_slots_are_named_after_the_layers(scaled: bool) -> None:
    names = []
    for _ in range(2):
        optimizer: keras.Optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        if scaled:
            optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
        model = dense(2)
        model.compile(optimizer, "mse", metrics=["mae"])
        optimizer.build(model.trainable_variables)
        pairs = variable_names(layer_scopes(model))
        assert len({id(variable) for _, variable in pairs}) == len(pairs)
        names.append([name for name, _ in pairs])
    assert names[0] == names[1]
    # Keras calls it `sgd_2/sequential_3_dense_7_kernel_momentum`, for example.
    (slot,) = [n for n in names[0] if n.endswith("dense_1_kernel_momentum")]
    # Before Keras 3.15 an optimizer had the name of its class.
    assert slot.lower().startswith("sgd/")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("sequential_1/dense_4/kernel", "sequential/dense/kernel"),
        ("adam/dense_4_kernel_momentum", "adam/dense_kernel_momentum"),
        ("layer_7/bias_12", "layer/bias"),
        ("conv2d/kernel", "conv2d/kernel"),
        ("dense_1/kernel:0", "dense/kernel:0"),
    ],
)
def test_all_numbers_can_be_stripped(path: str, expected: str) -> None:
    assert strip_numbers(path) == expected


def test_names_are_stripped_from_a_configuration_at_any_depth() -> None:
    config = {
        "name": "adam_1",
        "lr": [{"name": "decay", "steps": 3}],
        "a": None,
    }
    assert strip_names(config) == {"lr": [{"steps": 3}], "a": None}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense", ("dense", 0)),
        ("dense_2", ("dense", 2)),
        ("conv2d", ("conv2d", 0)),
        ("a_1_12", ("a_1", 12)),
        ("_3", ("_3", 0)),
    ],
)
def test_a_number_at_the_end_is_split_off(
    name: str, expected: tuple[str, int]
) -> None:
    assert split_number(name) == expected


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D,
        keras.layers.BatchNormalization,
        keras.layers.ReLU,
        keras.layers.LSTM,
        keras.layers.Dense,
    ],
)
def test_the_first_name_of_a_class_is_that_of_keras(
    layer: type[keras.Layer],
) -> None:
    keras.utils.clear_session()
    size = (
        []
        if layer in (keras.layers.ReLU, keras.layers.BatchNormalization)
        else [2]
    )
    size += [3] if layer is keras.layers.Conv2D else []
    assert snake_case(layer.__name__) == layer(*size).name
