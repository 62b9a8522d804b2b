"""Which variable is which weight: by name, order, shape or map, or refused."""

from collections.abc import Mapping
from pathlib import Path
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.models import build_cnn
from keras_port.tf1 import load_checkpoint
from tests.tf1.sessions import counted
from tests.tf1.sessions import write

v1 = tf.compat.v1


def dense_model(*units: int, names: tuple[str, ...] = ()) -> keras.Model:
    """Returns dense layers, 4 inputs to the first, with automatic names."""
    inputs = x = keras.Input((4,))
    for place, size in enumerate(units):
        name = names[place] if names else None
        x = keras.layers.Dense(size, name=name)(x)
    return keras.Model(inputs, x)


def load(
    model: keras.Model, path: Path, values: Mapping[str, Any], **options: Any
) -> dict[str, str]:
    """Writes the values, loads them, checks them; returns the pairs."""
    meta = options.pop("meta", False)
    write(path, values, meta=meta)
    report = load_checkpoint(model, path, **options)
    weights = {variable.path: variable for variable in model.weights}
    for weight, name in report.used:
        assert np.array_equal(weights[weight], values[name]), (weight, name)
    return {"by": report.matched_by, **dict(report.used)}


TWO = {
    "first": counted(4, 5),
    "second": counted(5),
    "third": counted(5, 3, start=20),
    "fourth": counted(3, start=40),
}


def two(*names: str) -> dict[str, Any]:
    """Returns the values of two dense layers under these four names."""
    return dict(zip(names, TWO.values(), strict=True))


@pytest.mark.parametrize(
    ("kernel", "bias"),
    [
        ("weight", "bias"),
        ("weights", "biases"),
        ("W", "b"),
        ("w", "b"),
        ("kernel", "bias"),
    ],
)
@pytest.mark.parametrize("scope", ["", "net/", "net/deep/"])
def test_scopes_and_words_are_names(
    tmp_path: Path, scope: str, kernel: str, bias: str
) -> None:
    # Square, so that shapes could not tell.
    model = dense_model(4, 4, names=("fc1", "fc2"))
    values = {
        f"{scope}fc2/{kernel}": counted(4, 4),
        f"{scope}fc2/{bias}": counted(4),
        f"{scope}fc1/{kernel}": counted(4, 4, start=20),
        f"{scope}fc1/{bias}": counted(4, start=40),
    }
    assert load(model, tmp_path / "m", values) == {
        "by": "name",
        "fc1/kernel": f"{scope}fc1/{kernel}",
        "fc1/bias": f"{scope}fc1/{bias}",
        "fc2/kernel": f"{scope}fc2/{kernel}",
        "fc2/bias": f"{scope}fc2/{bias}",
    }


def test_the_multi_gpu_names_are_the_layers_of_the_cnn(tmp_path: Path) -> None:
    model = build_cnn()
    values = {
        weight.path.replace("kernel", "weight"): counted(*weight.shape)
        for weight in reversed(model.weights)
    }
    pairs = load(model, tmp_path / "m", values)
    assert pairs.pop("by") == "name"
    assert pairs == {name.replace("weight", "kernel"): name for name in values}


def test_batch_normalisation_by_name(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization(name="bn")]
    )
    values = {
        f"bn/{name}": counted(3, start=start)
        for start, name in enumerate(
            ("beta", "gamma", "moving_mean", "moving_variance")
        )
    }
    pairs = load(model, tmp_path / "m", values)
    assert pairs.pop("by") == "name"
    assert pairs == {f"{model.name}/{name}": name for name in values}


@pytest.mark.fault("B61")
@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_the_second_model_of_a_process_takes_the_first_names(
    tmp_path: Path, kind: str
) -> None:
    values = {
        "dense/kernel": counted(4, 4),
        "dense/bias": counted(4),
        "dense_1/kernel": counted(4, 4, start=20),
        "dense_1/bias": counted(4, start=40),
    }
    for number in range(2):
        model = (
            dense_model(4, 4)
            if kind == "functional"
            else keras.Sequential(
                [keras.Input((4,)), *(keras.layers.Dense(4) for _ in "ab")]
            )
        )
        # The second has dense_2 and dense_3.
        assert model.layers[-1].name == f"dense_{2 * number + 1}"
        load(model, tmp_path / "m", values)
        found = model.get_weights()
        for value, expected in zip(found, values.values(), strict=True):
            assert np.array_equal(value, expected)


@pytest.mark.fault("B61")
def test_a_name_of_keras_that_may_mean_two_is_refused(tmp_path: Path) -> None:
    dense_model(4)
    model = dense_model(4)
    assert model.layers[-1].name == "dense_1"
    values = {
        "dense/kernel": counted(4, 4),
        "dense/bias": counted(4),
        "dense_1/kernel": counted(4, 4, start=20),
        "dense_1/bias": counted(4, start=40),
    }
    with pytest.raises(ValueError, match=r"'dense/kernel' and 'dense_1/kern"):
        load(model, tmp_path / "m", values)
    load(
        model,
        tmp_path / "m",
        values,
        names={path: path for path in ("dense_1/kernel", "dense_1/bias")},
    )


@pytest.mark.fault("B61")
def test_the_names_of_tensorflow_1_s_layers_are_keras_own(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3)(inputs)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Flatten()(x)
        for _ in range(2):
            x = keras.layers.Dense(144)(x)
        model = keras.Model(inputs, x)
        values = {
            path: counted(*shape, start=start)
            for start, (path, shape) in enumerate(
                {
                    "dense_1/kernel": (144, 144),
                    "dense_1/bias": (144,),
                    "dense/kernel": (144, 144),
                    "dense/bias": (144,),
                    "batch_normalization/beta": (4,),
                    "batch_normalization/gamma": (4,),
                    "batch_normalization/moving_mean": (4,),
                    "batch_normalization/moving_variance": (4,),
                    "conv2d/kernel": (3, 3, 3, 4),
                    "conv2d/bias": (4,),
                }.items()
            )
        }
        pairs = load(model, tmp_path / "m", values)
        assert pairs.pop("by") == "name"
        assert set(pairs.values()) == set(values)
        assert np.array_equal(model.layers[-1].kernel, values["dense_1/kernel"])


def test_given_names_that_look_automatic_are_taken(tmp_path: Path) -> None:
    model = dense_model(4, 4, names=("dense_1", "dense_2"))
    values = {
        f"dense_{number}/{leaf}": counted(*shape, start=number)
        for number in (2, 1)
        for leaf, shape in (("kernel", (4, 4)), ("bias", (4,)))
    }
    pairs = load(model, tmp_path / "m", values)
    assert pairs.pop("by") == "name"
    assert all(path == name for path, name in pairs.items())


def test_numbered_variables_are_in_order_beyond_ten(tmp_path: Path) -> None:
    # Equal shapes; as text, Variable_10 would come before Variable_2.
    model = dense_model(*[4] * 6)
    values = {
        f"Variable_{number}" if number else "Variable": counted(
            *((4,) if number % 2 else (4, 4)), start=number
        )
        for number in range(12)
    }
    pairs = load(model, tmp_path / "m", values)
    assert pairs.pop("by") == "order"
    assert list(pairs.values()) == list(values)


def test_a_counter_among_numbered_variables_is_left_out(tmp_path: Path) -> None:
    values = two("Variable", "Variable_1", "Variable_3", "Variable_4")
    values["Variable_2"] = np.int32(0)
    values["Variable_5"] = np.float32(0.5)
    pairs = load(dense_model(5, 3), tmp_path / "m", values)
    assert list(pairs.values())[1:] == list(values)[:4]


def test_the_graph_file_tells_the_order(tmp_path: Path) -> None:
    model = dense_model(4, 4)
    values = {
        "zeta": counted(4, 4),
        "y": counted(4),
        "alpha": counted(4, 4, start=20),
        "x": counted(4, start=40),
    }
    pairs = load(model, tmp_path / "m", values, meta=True)
    assert pairs.pop("by") == "order"
    assert list(pairs.values()) == list(values)
    (tmp_path / "m.meta").write_bytes(b"\xff not a graph")
    with pytest.raises(ValueError, match="missing in the file"):
        load_checkpoint(model, tmp_path / "m")


def test_an_order_that_the_names_contradict_is_refused(tmp_path: Path) -> None:
    # TensorFlow 1's layers made beta before gamma, of the same shape.
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization(name="mine")]
    )
    values = {
        f"theirs/{name}": counted(3, start=start)
        for start, name in enumerate(
            ("beta", "gamma", "moving_mean", "moving_variance")
        )
    }
    with pytest.raises(ValueError, match="missing in the file"):
        load(model, tmp_path / "m", values, meta=True)


def test_shapes_that_occur_once_are_enough(tmp_path: Path) -> None:
    values = two("in/w_in", "in/off", "out/w_out", "out/off_out")
    pairs = load(dense_model(5, 3), tmp_path / "m", values)
    assert pairs.pop("by") == "shape"
    assert list(pairs.values()) == list(values)


def save_dictionaries(
    path: Path, shapes: Mapping[str, tuple[int, ...]], **options: Any
) -> dict[str, np.ndarray]:
    """Saves a program that has its variables in dictionaries, with Adam.

    Returns:
        The values by their names in the dictionaries.
    """
    values = {
        name: counted(*shape, start=10 * place)
        for place, (name, shape) in enumerate(shapes.items())
    }
    with tf.Graph().as_default(), v1.Session() as session:
        made = {
            name: v1.Variable(value, use_resource=False, **options)
            for name, value in values.items()
        }
        loss = tf.add_n([tf.reduce_sum(one * one) for one in made.values()])
        v1.train.AdamOptimizer(0.0).minimize(loss)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(path))
    return values


# weights = {"h1": ..., "h2": ..., "out": ...}, biases = {...}
DICTIONARIES = {
    "h1": (4, 4),
    "h2": (4, 4),
    "out": (4, 3),
    "b1": (4,),
    "b2": (4,),
    "bout": (3,),
}
LAYER_ORDER = ["h1", "b1", "h2", "b2", "out", "bout"]


@pytest.mark.fault("W1")
@pytest.mark.parametrize("meta", [True, False])
def test_all_weights_before_all_biases_are_paired_in_order_of_each_shape(
    tmp_path: Path, meta: bool
) -> None:
    model = dense_model(4, 4, 3)
    values = save_dictionaries(tmp_path / "m", DICTIONARIES)
    if not meta:
        (tmp_path / "m.meta").unlink()
    report = load_checkpoint(model, tmp_path / "m")
    for weight, name in zip(model.weights, LAYER_ORDER, strict=True):
        assert np.array_equal(weight, values[name])
    kernels, biases = (
        tuple(one.path for one in model.weights[start:4:2]) for start in (0, 1)
    )
    assert report.matched_by == "shape and order"
    assert report.interchangeable == (kernels, biases)
    text = str(report)
    assert "matched by shape and order" in text
    assert "paired by order among equal shapes, so check predictions: 2" in text
    assert f"    {', '.join(kernels)}\n" in text


@pytest.mark.fault("W1")
def test_other_counts_of_a_shape_are_refused(tmp_path: Path) -> None:
    save_dictionaries(tmp_path / "m", DICTIONARIES)
    model = dense_model(4, 4, 4, 3)
    with pytest.raises(ValueError, match="missing in the file: dense") as error:
        load_checkpoint(model, tmp_path / "m")
    # Three of (4, 4) are wanted and two are there, so none is taken.
    assert "Variable (4, 4), Variable_1 (4, 4), Variable_3 (4,)" in str(
        error.value
    )
    assert "12 slots. Map" in str(error.value)
    assert not np.any(model.weights[1])


@pytest.mark.fault("W1")
def test_order_within_shapes_needs_all_shapes(tmp_path: Path) -> None:
    shapes = {**DICTIONARIES, "out": (4, 5), "bout": (5,)}
    save_dictionaries(tmp_path / "m", shapes)
    model = dense_model(4, 4, 3)
    report = load_checkpoint(model, tmp_path / "m", strict=False)
    assert report.used == report.interchangeable == ()


@pytest.mark.fault("W1")
def test_order_within_shapes_is_refused_where_names_contradict(
    tmp_path: Path,
) -> None:
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.BatchNormalization(name="mine"),
            keras.layers.Dense(3),
        ]
    )
    names = ("k", "bn/beta", "bn/gamma", "bn/moving_mean", "z/moving_variance")
    values = {n: counted(3, start=p) for p, n in enumerate((*names, "bias"))}
    values["k"] = counted(3, 3)
    with pytest.raises(ValueError, match="missing in the file"):
        load(model, tmp_path / "m", values, meta=True)


@pytest.mark.fault("W2")
@pytest.mark.parametrize("kind", ["name", "order", "shape", "map"])
def test_axes_of_length_1_are_reshaped(tmp_path: Path, kind: str) -> None:
    inputs = keras.Input((2, 2, 4))
    x = keras.layers.Conv2D(5, 1, name="conv")(inputs)
    x = keras.layers.PReLU(shared_axes=(1, 2), name="prelu")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="fc")(x))
    names = {
        "name": ["conv/w", "conv/b", "prelu/alpha", "fc/w", "fc/b"],
        "order": ["Variable", *(f"Variable_{n}" for n in range(1, 5))],
        "shape": ["p", "q", "r", "s", "t"],
        "map": ["p", "q", "r", "s", "t"],
    }[kind]
    shapes = [(4, 5), (5,), (5,), (5, 3), (1, 1, 3)]
    if kind == "shape":
        # Two variables of 5 values could not be told apart.
        model = keras.Model(inputs, model.get_layer("conv").output)
        shapes = shapes[:2]
    values = {n: counted(*s) for n, s in zip(names, shapes, strict=False)}
    write(tmp_path / "m", values)
    paths = [weight.path for weight in model.weights]
    report = load_checkpoint(
        model,
        tmp_path / "m",
        names=dict(zip(paths, names, strict=True)) if kind == "map" else None,
    )
    assert report.matched_by == kind
    assert [one.path for one in report.reshaped] == [
        weight.path
        for weight, shape in zip(model.weights, shapes, strict=False)
        if tuple(weight.shape) != shape
    ]
    for weight, value in zip(model.weights, values.values(), strict=True):
        assert np.array_equal(weight, value.reshape(weight.shape))
    assert f"{names[0]} (4, 5) in the file" in str(report)


@pytest.mark.fault("W2")
@pytest.mark.parametrize(
    "shapes",
    [
        {"W1": (4, 10), "W2": (10, 1), "b1": (10,), "b2": (1,)},
        {"W1": (4, 10), "b1": (1, 10), "W2": (10, 1), "b2": (1, 1)},
    ],
)
def test_a_kernel_of_one_unit_is_not_taken_for_a_bias(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]]
) -> None:
    model = dense_model(10, 1)
    values = save_dictionaries(tmp_path / "m", shapes)
    load_checkpoint(model, tmp_path / "m")
    for weight, name in zip(
        model.weights, ("W1", "b1", "W2", "b2"), strict=True
    ):
        assert np.array_equal(weight, values[name].reshape(weight.shape))


@pytest.mark.fault("W2")
def test_a_bias_that_could_be_a_kernel_is_refused(tmp_path: Path) -> None:
    shapes = {"W1": (4, 10), "W2": (10, 1), "b1": (1, 10), "b2": (1, 1)}
    save_dictionaries(tmp_path / "m", shapes)
    model = dense_model(10, 1)
    match = r"could be 'dense.*/bias': 'Variable_1' by the order.*`names="
    with pytest.raises(ValueError, match=match):
        load_checkpoint(model, tmp_path / "m")
    assert not np.any(model.weights[1])


@pytest.mark.fault("W2")
def test_a_transposed_kernel_is_still_refused(tmp_path: Path) -> None:
    values = {"fc/kernel": counted(5, 4), "fc/bias": counted(5)}
    with pytest.raises(ValueError, match=r"shapes differ.*\(4, 5\).*\(5, 4\)"):
        load(dense_model(5, names=("fc",)), tmp_path / "m", values)


def two_networks() -> dict[str, np.ndarray]:
    """Returns two networks of the same layers, in two scopes."""
    return {
        f"{scope}/{layer}/{leaf}": counted(*shape, start=start)
        for start, scope in enumerate(("target", "eval"))
        for layer in ("l1", "l2")
        for leaf, shape in (("w", (4, 4)), ("b", (1, 4)))
    }


@pytest.mark.fault("W2")
@pytest.mark.parametrize("scope", ["eval", "eval/", "/eval"])
@pytest.mark.parametrize("layers", [("l1", "l2"), ("one", "two")])
@pytest.mark.parametrize("is_map", [False, True])
def test_one_of_two_networks_is_loaded_by_its_scope(
    tmp_path: Path, scope: str, layers: tuple[str, str], is_map: bool
) -> None:
    model = dense_model(4, 4, names=layers)
    values = two_networks()
    write(tmp_path / "m", values, meta=True)
    if layers == ("one", "two"):
        with pytest.raises(ValueError, match="missing in the file"):
            load_checkpoint(model, tmp_path / "m")
    names = ("l1/w", "l1/b", "eval/l2/w", "l2/b")
    paths = [weight.path for weight in model.weights]
    report = load_checkpoint(
        model,
        tmp_path / "m",
        scope=scope,
        names=dict(zip(paths, names, strict=True)) if is_map else None,
    )
    expected = list(values.values())[4:]
    for weight, value in zip(model.weights, expected, strict=True):
        assert np.array_equal(weight, value.reshape(weight.shape))
    assert report.unused == ()


@pytest.mark.fault("W2")
def test_names_are_compared_inside_the_scope(tmp_path: Path) -> None:
    values = {
        f"{scope}/{leaf}": counted(*shape, start=start)
        for start, scope in enumerate(("eval/fc", "eval/twin/fc"))
        for leaf, shape in (("w", (4, 4)), ("b", (4,)))
    }
    model = dense_model(4, names=("fc",))
    pairs = load(model, tmp_path / "m", values, scope="eval")
    expected = {"fc/kernel": "eval/fc/w", "fc/bias": "eval/fc/b"}
    assert pairs == {"by": "name", **expected}


@pytest.mark.fault("W2")
def test_an_unknown_scope_lists_the_scopes(tmp_path: Path) -> None:
    write(tmp_path / "m", two_networks())
    match = r"scope='evil'\. Its scopes: eval/l1, eval/l2, target/l1, target/l2"
    with pytest.raises(ValueError, match=match):
        load_checkpoint(dense_model(4, 4), tmp_path / "m", scope="evil")


def test_equal_shapes_without_names_or_order_are_refused(
    tmp_path: Path,
) -> None:
    model = dense_model(4, 4)
    values = {
        "p": counted(4, 4),
        "q": counted(4),
        "r": counted(4, 4),
        "s": counted(4),
    }
    with pytest.raises(ValueError, match=r"names=\{path: name\}"):
        load(model, tmp_path / "m", values)
    assert not np.any(model.weights[1])


def test_one_way_alone_can_be_asked_for(tmp_path: Path) -> None:
    model = dense_model(5, 3)
    values = two("Variable", "Variable_1", "Variable_2", "Variable_3")
    for way in ("order", "shape"):
        pairs = load(model, tmp_path / "m", values, match=way)
        assert pairs["by"] == way
    with pytest.raises(ValueError, match="missing in the file"):
        load(model, tmp_path / "m", values, match="name")
    with pytest.raises(ValueError, match=r"`match` must be one of.*'guess'"):
        load(model, tmp_path / "m", values, match="guess")


def test_the_order_is_refused_where_nobody_knows_it(tmp_path: Path) -> None:
    values = two("p", "q", "r", "s")
    with pytest.raises(ValueError, match=r"needs the order.*`names="):
        load(dense_model(5, 3), tmp_path / "m", values, match="order")


@pytest.mark.parametrize("kind", ["dictionary", "function"])
def test_a_map_says_it(tmp_path: Path, kind: str) -> None:
    model = dense_model(4, 4, names=("one", "two"))
    values = {
        "p": counted(4, 4),
        "q": counted(4),
        "r": counted(4, 4, start=20),
        "s": counted(4, start=40),
    }
    table = {
        "one/kernel": "r",
        "one/bias": "s",
        "two/kernel": "p",
        "two/bias": "q",
    }
    names = table if kind == "dictionary" else table.__getitem__
    pairs = load(model, tmp_path / "m", values, names=names)
    assert pairs == {"by": "map", **table}


def test_a_map_may_take_the_moving_averages(tmp_path: Path) -> None:
    model = dense_model(4, names=("fc",))
    values = {
        "w": counted(4, 4),
        "w/ExponentialMovingAverage": counted(4, 4, start=50),
        "o": counted(4),
    }
    names = {"fc/kernel": "w/ExponentialMovingAverage", "fc/bias": "o"}
    pairs = load(model, tmp_path / "m", values, names=names)
    assert pairs == {"by": "map", **names}
    kernel, bias = model.get_weights()
    assert np.array_equal(kernel, counted(4, 4, start=50))
    assert np.array_equal(bias, counted(4))


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ({"fc/weight": "w"}, "`names` has the path 'fc/weight'.*fc/kernel"),
        ({"fc/kernel": "v"}, "`names` has the name 'v'.*o, w"),
        ({"fc/kernel": "w", "fc/bias": "w"}, "to several weights"),
        ({"fc/kernel": "w"}, "missing in the file: fc/bias"),
    ],
)
def test_a_wrong_map_is_refused(
    tmp_path: Path, names: dict[str, str], part: str
) -> None:
    model = dense_model(4, names=("fc",))
    values = {"w": counted(4, 4), "o": counted(4)}
    with pytest.raises(ValueError, match=part):
        load(model, tmp_path / "m", values, names=names)
    assert not np.any(model.weights[1])


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "m", {"w": counted(4, 4)})
    model = keras.Sequential([keras.layers.Dense(4)])
    with pytest.raises(ValueError, match=re.escape("model.build(")):
        load_checkpoint(model, tmp_path / "m")


def test_a_model_inside_a_model_is_matched_by_name(tmp_path: Path) -> None:
    inner = dense_model(4, names=("fc",))
    inputs = keras.Input((4,))
    outer = keras.Model(
        inputs, keras.layers.Dense(4, name="top")(inner(inputs))
    )
    values = {
        "net/top/w": counted(4, 4),
        "net/top/b": counted(4),
        "net/fc/w": counted(4, 4, start=20),
        "net/fc/b": counted(4, start=40),
    }
    pairs = load(outer, tmp_path / "m", values)
    assert pairs["by"] == "name"
    assert pairs["fc/kernel"] == "net/fc/w"
