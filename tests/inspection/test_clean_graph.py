"""Traced graphs with clean names, also of a training step."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import inspection
from keras_port.inspection.clean_graph import clean_graph
from tests.inspection.models import batch
from tests.inspection.models import sequential
from tests.inspection.models import subclassed

RENAMED = {
    "compile_loss": "cross_entropy",
    "gradient_tape/compile_loss": "gradients/cross_entropy",
    "gradient_tape": "gradients",
    "adam": "trainer/adam",
    "accuracy": "evaluator",
}


def training_step(model: keras.Model) -> Any:
    """Returns the concrete function of one training step."""
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    labels = np.array([0, 1, 2, 0, 1])
    model.fit(batch(), labels, verbose=0)

    def step(x: tf.Tensor, y: tf.Tensor) -> Any:
        return model.train_step((x, y))

    return tf.function(step, autograph=False).get_concrete_function(
        tf.TensorSpec((None, 4), name="x"),
        tf.TensorSpec((None,), "int32", name="y"),
    )


def nodes(graph_def: tf.compat.v1.GraphDef) -> dict[str, Any]:
    found = {node.name: node for node in graph_def.node}
    assert len(found) == len(graph_def.node)
    return found


def test_a_training_step_is_in_the_renamed_scopes() -> None:
    model = sequential()
    graph_def = inspection.clean_graph_def(
        training_step(model), model, rename_scopes=RENAMED
    )
    found = nodes(graph_def)
    assert {
        "x",
        "y",
        "dense/kernel",
        "dense/relu",
        "gradients/dense/relugrad",
        "gradients/dense_1/matmul/matmul",
        "trainer/adam/iteration",
        "trainer/adam/dense_kernel_momentum",
        "evaluator/total",
        "loss/total",
        "accuracy",
        "loss",
    } <= set(found)
    assert any(name.startswith("cross_entropy/") for name in found)
    assert any(name.startswith("gradients/cross_entropy/") for name in found)
    heads = {name.partition("/")[0] for name in found}
    assert not heads & {"gradient_tape", "compile_loss", "adam", "sequential"}
    placeholders = [n for n, v in found.items() if v.op == "Placeholder"]
    assert placeholders == ["x", "y"]


@pytest.mark.slow
@pytest.mark.fault("B31")
def test_a_step_of_a_second_model_has_the_same_graph() -> None:
    graphs = []
    for build in (sequential, sequential, subclassed, subclassed):
        model = build()
        step = training_step(model)
        graphs.append(
            inspection.clean_graph_def(step, model, rename_scopes=RENAMED)
        )
    assert graphs[0] == graphs[1]
    assert nodes(graphs[2]).keys() == nodes(graphs[3]).keys()


def test_tensorflow_reads_the_graph() -> None:
    model = sequential()
    graph_def = inspection.clean_graph_def(
        training_step(model), model, rename_scopes=RENAMED
    )
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    kernel = graph.get_operation_by_name("dense/kernel")
    assert kernel.type == "VarHandleOp"
    assert kernel.get_attr("shape") == tf.TensorShape((4, 3)).as_proto()
    reads = {operation.name for operation in kernel.outputs[0].consumers()}
    assert "dense/kernel/read" in reads


def test_names_lead_back_to_the_traced_operations() -> None:
    model = sequential()
    step = training_step(model)
    clean = clean_graph(step, model)
    traced = {operation.name for operation in step.graph.get_operations()}
    assert set(clean.names) <= traced
    assert clean.variables["dense/kernel"] is model.layers[0].kernel
    assert len(set(map(str.lower, clean.names.values()))) == len(clean.names)


def test_branches_are_named_after_the_operation() -> None:
    def branch(x: tf.Tensor) -> tf.Tensor:
        return tf.cond(x > 0, lambda: x + 1, lambda: x - 1)

    graphs = []
    for _ in range(2):
        function = tf.function(branch).get_concrete_function(tf.TensorSpec(()))
        graphs.append(inspection.clean_graph_def(function))
    assert graphs[0] == graphs[1]
    library = {item.signature.name for item in graphs[0].library.function}
    assert library == {"cond_then_branch", "cond_else_branch"}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graphs[0], name="")
        assert session.run("output:0", {"x:0": 2.0}) == 3.0


def test_a_captured_constant_is_shown_with_its_value() -> None:
    # TensorFlow itself copies those of up to 128 values into the graph.
    small, large = tf.range(500.0), tf.ones([2000])

    def add(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return x + small, x[0] + large

    function = tf.function(add).get_concrete_function(tf.TensorSpec((500,)))
    found = nodes(inspection.clean_graph_def(function))
    (constant,) = [
        node
        for node in found.values()
        if node.op == "Const" and "stack" not in node.name
    ]
    np.testing.assert_array_equal(
        tf.make_ndarray(constant.attr["value"].tensor), small
    )
    assert [n.op for n in found.values()].count("Placeholder") == 2


def test_variables_of_a_mirrored_model_are_found() -> None:
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        model = sequential()
        function = tf.function(lambda x: model(x)).get_concrete_function(
            tf.TensorSpec((None, 4), name="x")
        )
    found = nodes(inspection.clean_graph_def(function, model))
    assert found["dense/kernel"].op == "VarHandleOp"
