"""The graph of a model: its names, its values, its variables."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import inspection
from keras_port import models
from tests.inspection.models import Block
from tests.inspection.models import batch
from tests.inspection.models import functional
from tests.inspection.models import sequential
from tests.inspection.models import subclassed

BUILDERS = [models.build_cnn, sequential, functional, subclassed]


def names(graph: inspection.ModelGraph) -> list[str]:
    return [operation.name for operation in graph.operations]


def images(size: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((size, 784), dtype="float32")


@pytest.fixture(scope="module")
def cnn() -> keras.Model:
    return models.build_cnn()


@pytest.fixture(scope="module")
def graph(cnn: keras.Model) -> inspection.ModelGraph:
    return inspection.graph(cnn)


@pytest.mark.fault("B65", "B31")
def test_names_begin_with_the_layers_names(
    cnn: keras.Model, graph: inspection.ModelGraph
) -> None:
    layers = {layer.name for layer in cnn.layers}
    heads = {name.partition("/")[0] for name in names(graph)}
    assert heads == layers - {"dropout"}
    assert {"conv1/kernel", "conv1/bias", "conv1/relu"} <= set(names(graph))
    assert not [name for name in names(graph) if "_1/" in name]


@pytest.mark.fault("B65")
def test_no_variable_is_a_placeholder(graph: inspection.ModelGraph) -> None:
    types = {operation.name: operation.type for operation in graph.operations}
    assert [k for k, v in types.items() if v == "Placeholder"] == ["images"]
    variables = [k for k, v in types.items() if v == "VarHandleOp"]
    assert variables == [
        f"{layer}/{part}"
        for layer in ("conv1", "conv2", "fc1", "fc2")
        for part in ("kernel", "bias")
    ]


@pytest.mark.fault("B65")
@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "fc1", "scores"])
def test_a_tensor_by_name_is_the_layers_activation(
    cnn: keras.Model, graph: inspection.ModelGraph, layer: str
) -> None:
    x = images()
    part = keras.Model(cnn.input, cnn.get_layer(layer).output)
    np.testing.assert_array_equal(
        graph.run(f"{layer}:0", {"images:0": x}), part(x)
    )


@pytest.mark.fault("B65")
def test_the_relu_of_a_layer_is_its_result(
    graph: inspection.ModelGraph,
) -> None:
    assert graph.tensor("conv1:0") == graph.tensor("conv1/relu:0")
    assert graph.tensor("conv1/relu:0").shape == (None, 28, 28, 32)


@pytest.mark.fault("B65", "B31")
@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("training", [False, True])
def test_two_listings_agree_and_so_do_two_models(
    build: Callable[[], keras.Model], training: bool
) -> None:
    model = build()
    first = inspection.graph(model, training=training)
    second = inspection.graph(model, training=training)
    other = inspection.graph(build(), training=training)
    assert first.operations == second.operations == other.operations
    assert first.variables == other.variables
    assert first.as_graph_def() == other.as_graph_def()


def test_a_model_built_later_has_the_names_of_a_first_one() -> None:
    for _ in range(5):
        keras.layers.Dense(1)
    graph = inspection.graph(sequential())
    assert {name.partition("/")[0] for name in names(graph)} == {
        "input_layer",
        "dense",
        "dense_1",
        "softmax",
    }
    # Keras' own name is found as well.
    assert graph.tensor("dense_5/relu:0").name == "dense/relu:0"


def test_numbers_given_by_hand_are_kept() -> None:
    layers = [keras.layers.Dense(2, name=f"dense_{i}") for i in (1, 2)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    graph = inspection.graph(model)
    assert [variable.name for variable in graph.variables] == [
        "dense_1/kernel",
        "dense_1/bias",
        "dense_2/kernel",
        "dense_2/bias",
    ]
    np.testing.assert_array_equal(
        graph.run("dense_1:0", {"input_layer:0": batch()}), layers[0](batch())
    )


def test_inner_layers_and_second_calls_have_scopes() -> None:
    model = functional()
    graph = inspection.graph(model)
    assert [variable.name for variable in graph.variables] == [
        "dense/kernel",
        "dense/bias",
        "block/dense/kernel",
        "block/dense/bias",
        "block/dense_1/kernel",
        "block/dense_1/bias",
    ]
    assert {"dense/matmul", "dense_1/matmul", "add"} <= set(names(graph))
    x = {"a": batch(), "b": batch(5) + 1}
    feeds = {f"{key}:0": value for key, value in x.items()}
    # The second call of `dense` is of the input `b`.
    np.testing.assert_allclose(
        graph.run("dense_1/biasadd:0", feeds),
        model.layers[2](x["b"]),
        rtol=1e-6,  # One matrix product, perhaps in another order.
    )
    block, total = graph.run(["block:0", "add:0"], feeds)
    expected = model(x)
    np.testing.assert_allclose(block, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(total, expected[1], rtol=1e-5, atol=1e-6)


def test_a_subclassed_model_has_a_graph_of_layers() -> None:
    model = subclassed()
    graph = inspection.graph(model)
    assert {
        "first/relu",
        "dense/matmul",
        "dense_1/kernel",
        "dense_2/matmul",
        "batch_normalization/gamma",
        "scale",
        "mul",
    } <= set(names(graph))
    assert names(graph)[0] == "x"
    np.testing.assert_allclose(
        graph.run("mul:0", {"x:0": batch()}), model(batch()), rtol=1e-6
    )


def test_a_layer_alone_has_a_graph() -> None:
    block = Block("block")
    block.build((None, 4))
    graph = inspection.graph(block)
    value = graph.run("dense_1/biasadd:0", {"x:0": batch()})
    np.testing.assert_allclose(value, block(batch()), rtol=1e-6)


def test_inputs_that_are_not_known_can_be_given() -> None:
    class Negative(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.built = True

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return -x

    layer = Negative()
    with pytest.raises(ValueError, match=r"which inputs.*tf\.TensorSpec"):
        inspection.graph(layer)
    graph = inspection.graph(layer, tf.TensorSpec((None,), name="numbers"))
    assert graph.run("neg:0", {"numbers:0": [1, 2]}).tolist() == [-1, -2]


def test_several_arguments_can_be_given() -> None:
    class Product(keras.Model):
        def call(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
            return left * right

    model = Product()
    model(batch(), batch())
    with pytest.raises(ValueError, match=r'name="left".*name="right"'):
        inspection.graph(model)
    specs = [tf.TensorSpec((None, 4), name=name) for name in ("a", "b")]
    graph = inspection.graph(model, *specs)
    value = graph.run("mul:0", {"a:0": batch(), "b:0": batch() * 2})
    np.testing.assert_allclose(value, 2 * batch() ** 2, rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_a_loop_has_a_graph(training: bool) -> None:
    def build() -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((6, 4)),
                keras.layers.Bidirectional(keras.layers.GRU(3)),
                keras.layers.LayerNormalization(),
            ]
        )

    model = build()
    graph = inspection.graph(model, training=training)
    other = inspection.graph(build(), training=training)
    assert graph.operations == other.operations
    cell = "bidirectional/forward_gru/gru_cell"
    assert f"{cell}/kernel" in [v.name for v in graph.variables]
    x = np.random.default_rng(1).normal(size=(2, 6, 4)).astype("float32")
    np.testing.assert_allclose(
        graph.run("layer_normalization:0", {"input_layer:0": x}),
        model(x),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_variable_that_the_graph_does_not_use_is_told_apart() -> None:
    graph = inspection.graph(subclassed())
    name = "dropout/seed_generator_state:0"
    assert graph.run(name).shape == (2,)
    with pytest.raises(ValueError, match="not used in this graph"):
        graph.tensor(name)


@pytest.mark.parametrize("build", [sequential, subclassed])
def test_variables_have_the_values_of_now(
    build: Callable[[], keras.Model],
) -> None:
    model = build()
    graph = inspection.graph(model)
    name = graph.operations[0].name
    output = graph.operations[-1].outputs[0]
    before = graph.run(output, {f"{name}:0": batch()})
    model.compile("sgd", "mse")
    model.fit(batch(), np.ones((5, 3)), epochs=2, verbose=0)
    after = graph.run(output, {f"{name}:0": batch()})
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, model(batch()), rtol=1e-5)
    for variable in graph.variables:
        np.testing.assert_array_equal(variable.value(), variable.variable)
        np.testing.assert_array_equal(
            variable.value(), graph.run(f"{variable.name}:0")
        )
    assert len(graph.variables) == len(model.variables)


def test_what_training_adds_is_listed_and_changes_nothing() -> None:
    model = subclassed()
    before = [variable.numpy() for variable in model.variables]
    graph = inspection.graph(model, training=True)
    assert "dropout/seed_generator_state" in names(graph)
    assert "dropout/mul" not in names(inspection.graph(model))
    values = [graph.run("mul:0", {"x:0": batch()}) for _ in range(2)]
    np.testing.assert_array_equal(values[0], values[1])
    assert not np.allclose(values[0], model(batch()))
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def test_an_intermediate_tensor_can_be_fed(
    cnn: keras.Model, graph: inspection.ModelGraph
) -> None:
    x = images()
    relu = graph.run("conv1/relu:0", {"images:0": x})
    scores = graph.run("scores:0", {"conv1/relu:0": relu})
    np.testing.assert_allclose(scores, cnn(x), rtol=1e-5)
    zeros = graph.run("fc2/matmul:0", {"conv1/relu:0": relu * 0})
    # Biases are zeros, so nothing goes through.
    np.testing.assert_array_equal(zeros, np.zeros((3, 10)))


def test_a_variable_can_be_fed(graph: inspection.ModelGraph) -> None:
    feeds = {"images:0": images(), "fc2/kernel:0": np.zeros((1024, 10))}
    scores = graph.run("scores:0", feeds)
    np.testing.assert_allclose(scores, np.full((3, 10), 0.1), rtol=1e-6)
    assert graph.run("fc2/kernel:0").std() > 0
    np.testing.assert_array_equal(graph.run("fc2/kernel:0", feeds), 0)


def test_fetches_keep_their_structure(graph: inspection.ModelGraph) -> None:
    x = images()
    value = graph.run(
        {"b": ["scores:0", "fc1/bias:0"], "a": graph.tensor("images:0")},
        {graph.tensor("images:0"): x},
    )
    assert list(value) == ["b", "a"]
    assert [part.shape for part in value["b"]] == [(3, 10), (1024,)]
    np.testing.assert_array_equal(value["a"], x)
    assert graph.run([]) == []
    np.testing.assert_array_equal(
        graph.tensor("scores:0").eval({"images:0": x}), value["b"][0]
    )


def test_integer_images_are_fed_as_they_are(
    graph: inspection.ModelGraph,
) -> None:
    white = np.ones((1, 784), np.uint8)
    shown = graph.run("pixels:0", {"images:0": white})
    assert shown.dtype == np.float32
    with pytest.raises(ValueError, match="Pixels must be from 0 to 1"):
        graph.run("pixels:0", {"images:0": white * 255})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv1/rleu:0", "no tensor 'conv1/rleu:0'.*'conv1/relu:0'"),
        (
            "conv1/relu",
            "tensors of the operation 'conv1/relu' are: 'conv1/relu:0",
        ),
        ("conv1/relu:1", "'conv1/relu:1' is not a tensor"),
        ("", "no tensor ''"),
        (7, "given by its name"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(
    graph: inspection.ModelGraph, name: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        graph.tensor(name)
    with pytest.raises(ValueError, match=message):
        graph.run([name])
    with pytest.raises(ValueError, match=message):
        graph.run("scores:0", {name: 0})


def test_upper_case_does_not_matter(graph: inspection.ModelGraph) -> None:
    assert graph.tensor("conv1/Relu:0").name == "conv1/relu:0"


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, r"no value. Feed them.*'images:0': shape \(None, 784\)"),
        ({"fc1/bias:0": np.zeros(1024)}, "'images:0'"),
        (
            {"images:0": np.zeros((2, 28, 28))},
            r"shape \(None, 784\).*Received: shape \(2, 28, 28\)",
        ),
        ({"images:0": np.array([["a"] * 784])}, "float32.*Received: string"),
        ({"images:0": [[1.0], [1.0, 2.0]]}, "not an array"),
        ({"fc1/bias:0": np.zeros(3)}, r"\(1024,\).*Received: shape \(3,\)"),
    ],
)
def test_wrong_feeds_are_refused(
    graph: inspection.ModelGraph, feeds: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        graph.run("scores:0", feeds)


def test_a_variable_used_as_a_whole_cannot_be_fed() -> None:
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), keras.layers.Embedding(5, 3)]
    )
    graph = inspection.graph(model)
    feeds = {"input_layer:0": [[1, 4]]}
    assert graph.run("embedding:0", feeds).shape == (1, 2, 3)
    table = {"embedding/embeddings:0": np.zeros((5, 3))}
    if "embedding/embeddings/read" in names(graph):
        np.testing.assert_array_equal(
            graph.run("embedding:0", feeds | table), np.zeros((1, 2, 3))
        )
    else:
        with pytest.raises(ValueError, match="uses the variable itself"):
            graph.run("embedding:0", feeds | table)


def test_what_has_no_graph_is_refused() -> None:
    for model in (keras.Sequential([keras.layers.Dense(1)]), Block("block")):
        with pytest.raises(ValueError, match=r"no variables yet.*model\.build"):
            inspection.graph(model)
    with pytest.raises(ValueError, match=r"Received: model='model\.keras'"):
        inspection.graph("model.keras")
    with pytest.raises(ValueError, match="not to a function"):
        inspection.graph(tf.square, training=True)
    with pytest.raises(ValueError, match=r"takes 1 arguments\. Received: 2"):
        inspection.graph(lambda x: x, *[tf.TensorSpec(())] * 2)


def test_lesson_2b_evaluates_to_2_and_1() -> None:
    W1 = tf.Variable(tf.ones([2]), name="W1")

    def little(x1: tf.Tensor) -> tf.Tensor:
        return tf.add(x1, W1, name="x3")

    for function in (little, tf.function(little)):
        graph = inspection.graph(function, tf.TensorSpec((2,)))
        assert names(graph) == ["x1", "W1", "W1/read", "x3"]
        x3 = graph.run("x3:0", {"x1:0": [1, 0]})
        np.testing.assert_array_equal(x3, np.float32([2, 1]))
    W1.assign([5, 5])
    np.testing.assert_array_equal(graph.run("x3:0", {"x1:0": [1, 0]}), [6, 5])
    (variable,) = graph.variables
    assert (variable.name, variable.shape) == ("W1", (2,))


def test_the_graph_runs_in_a_session_of_tensorflow_1(
    cnn: keras.Model, graph: inspection.ModelGraph
) -> None:
    x = images()
    reads = {
        f"{variable.name}/read:0": variable.value()
        for variable in graph.variables
        if f"{variable.name}/read" in names(graph)
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph.as_graph_def(), name="")
        scores = session.run("scores:0", {"images:0": x, **reads})
    np.testing.assert_allclose(scores, cnn(x), rtol=1e-5)


def test_the_text_has_a_line_for_each_operation(
    graph: inspection.ModelGraph,
) -> None:
    title, _, *lines = graph.to_text().splitlines()
    assert title == f"cnn: {len(graph.operations)} operations, 9 variables"
    assert [line.split()[0] for line in lines] == names(graph)
    (relu,) = [line for line in lines if line.startswith("conv2/relu ")]
    assert relu.split(maxsplit=2)[1:] == [
        "Relu",
        "float32 (None, 14, 14, 64)  <- conv2/biasadd:0",
    ]


def test_mixed_precision_has_the_same_names() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = models.build_perceptron()
    graph = inspection.graph(model)
    assert {"fc/kernel", "fc/matmul", "scores"} <= set(names(graph))
    scores = graph.run("scores:0", {"images:0": images()})
    np.testing.assert_allclose(scores, np.full((3, 10), 0.1), rtol=1e-6)


def test_custom_gradients_leave_no_operation(
    graph: inspection.ModelGraph,
) -> None:
    # TensorFlow marks the custom gradient of the layer by an `IdentityN`.
    assert "IdentityN" not in {op.type for op in graph.operations}
    (relu,) = [op for op in graph.operations if op.name == "fc1/relu"]
    assert relu.inputs == ("fc1/biasadd:0",)


def test_an_identity_n_that_a_function_returns_stays() -> None:
    @tf.custom_gradient
    def doubled(x: tf.Tensor) -> Any:
        return 2 * x, lambda dy: 2 * dy

    spec = tf.TensorSpec((2,), tf.float32, name="x")
    graph = inspection.graph(doubled, spec)
    assert graph.operations[-1].type == "IdentityN"
    twice = inspection.graph(lambda x: doubled(doubled(x)) + 1, spec)
    assert "IdentityN" not in {op.type for op in twice.operations}
    (total,) = [op for op in twice.operations if op.type.startswith("Add")]
    value = twice.run(total.outputs[0], {"x:0": np.ones(2, "float32")})
    np.testing.assert_array_equal(value, [5, 5])
