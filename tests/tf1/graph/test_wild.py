"""What graphs of the wild hold that a course's graph does not.

Every test is a small form of a fault that real files showed. The numbers are
those of the list of faults, F4 to F12.
"""

from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import Phase
from keras_port.tf1 import list_graph

v1 = tf.compat.v1
X = np.random.default_rng(3).normal(size=(5, 3)).astype("float32")
Session = Any


@contextlib.contextmanager
def saved(folder: Path, **saver: Any) -> Iterator[Session]:
    """Opens a session of TensorFlow 1's first control flow, and saves it."""
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), v1.Session() as session:
            yield session
            v1.train.Saver(**saver).save(session, str(folder / "m"))
    finally:
        v1.enable_control_flow_v2()


def initialize(session: Session) -> None:
    session.run([v1.global_variables_initializer(), v1.tables_initializer()])


def weight(*shape: int) -> tf.Variable:
    return v1.get_variable("w", shape, use_resource=False)


def save_reloaded(model: keras.Model, folder: Path) -> keras.Model:
    """Returns a model as it comes back from its file."""
    model.save(folder / "m.keras")
    return keras.saving.load_model(folder / "m.keras", safe_mode=False)


@pytest.mark.parametrize("resource", [False, True], ids=["ref", "resource"])
@pytest.mark.parametrize("value", [False, True])
def test_f4_a_variable_decides_a_condition(
    tmp_path: Path, *, resource: bool, value: bool
) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        is_training = v1.get_variable(
            "is_training", initializer=value, use_resource=resource
        )
        h = x @ weight(3, 2)
        y = v1.cond(is_training, lambda: h * 2.0, lambda: h)
        y = tf.identity(y, name="y")
        initialize(session)
        expected = session.run(y, {x: X})
        other = expected / 2 if value else expected * 2
    layer = GraphLayer(tmp_path, inputs="x", outputs="y")
    np.testing.assert_array_equal(layer(X), expected)
    switched = GraphLayer(
        tmp_path,
        inputs="x",
        outputs="y",
        constants={"is_training": Phase(training=not value, inference=value)},
    )
    np.testing.assert_array_equal(switched(X), expected)
    np.testing.assert_array_equal(switched(X, training=True), other)
    assert [one.name for one in list_graph(tmp_path).settings] == [
        "is_training"
    ]


@pytest.mark.parametrize("value", [False, True])
def test_f5_one_switch_after_another(tmp_path: Path, *, value: bool) -> None:
    """TensorFlow before 1.2 wrote two where a branch only passes a tensor."""
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        p = v1.placeholder(tf.bool, name="p")
        h = x @ weight(3, 2)
        predicate = tf.identity(p, name="cond/pred_id")
        _, true = tf.raw_ops.Switch(data=h, pred=predicate)
        doubled = tf.multiply(true, 2.0)
        false, _ = tf.raw_ops.Switch(data=h, pred=predicate)
        false, _ = tf.raw_ops.Switch(data=false, pred=predicate)
        merged = tf.raw_ops.Merge(inputs=[false, doubled])
        y = tf.identity(merged[0], name="y")
        initialize(session)
        expected = session.run(y, {x: X, p: value})
    layer = GraphLayer(
        tmp_path, inputs="x", outputs="y", constants={"p": value}
    )
    np.testing.assert_array_equal(layer(X), expected)


def rewrite(folder: Path, change: Any) -> None:
    """Changes the graph of a `.meta` file."""
    path = folder / "m.meta"
    meta = v1.MetaGraphDef.FromString(path.read_bytes())
    change(meta.graph_def)
    path.write_bytes(meta.SerializeToString())


def make_early(graph: v1.GraphDef) -> None:
    """Makes a graph one of before TensorFlow 1.2."""
    graph.versions.producer = 21
    graph.versions.min_consumer = 0
    for node in graph.node:
        if node.op == "Placeholder":
            node.attr["shape"].shape.Clear()
            node.attr["shape"].shape.SetInParent()


def test_f2_an_early_placeholder_has_the_shape_that_the_file_states(
    tmp_path: Path,
) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        rate = v1.placeholder(tf.float32, name="rate")
        y = tf.identity(x @ weight(3, 2) * rate, name="y")
        initialize(session)
        expected = session.run(y, {x: X, rate: 2.0})
    rewrite(tmp_path, make_early)
    report = list_graph(tmp_path)
    assert [str(one) for one in report.inputs] == ["x (None, 3) float32"]
    assert [str(o) for o in report.settings] == [
        "rate of unknown shape float32"
    ]
    layer = GraphLayer(
        tmp_path, inputs="x", outputs="y", constants={"rate": 2.0}
    )
    model = layer.to_model()
    assert model.input_shape == (None, 3)
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)


def test_f2_what_comes_out_of_a_queue_is_listed_with_its_shape(
    tmp_path: Path,
) -> None:
    with saved(tmp_path) as session:
        queue = v1.FIFOQueue(10, [tf.float32, tf.int32], [[3], []])
        x, labels = queue.dequeue_many(4, name="batch")
        logits = x @ weight(3, 2)
        v1.losses.sparse_softmax_cross_entropy(labels, logits)
        tf.nn.softmax(logits, name="y")
        initialize(session)
    report = list_graph(tmp_path)
    assert [str(one) for one in report.inputs] == [
        "batch (4, 3) float32",
        "batch:1 (4,) int32",
    ]
    assert "y" in [one.name for one in report.outputs]
    model = GraphLayer(tmp_path, inputs="batch", outputs="y").to_model()
    assert model.predict(X, verbose=0).shape == (5, 2)


def test_f7_shapes_are_given_where_nothing_is_known(tmp_path: Path) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, name="x")
        y = tf.add(x * v1.get_variable("w", []), 1.0, name="y")
        initialize(session)
        expected = session.run(y, {x: X})
    layer = GraphLayer(tmp_path, inputs="x", outputs="y")
    np.testing.assert_array_equal(layer(X), expected)
    with pytest.raises(ValueError, match=r"shapes=\{'x': \(None, 784\)\}"):
        layer.to_model()
    inputs = keras.Input((3,))
    assert keras.Model(inputs, layer(inputs)).output_shape == (None, 3)
    given = GraphLayer(
        tmp_path, inputs="x", outputs="y", shapes={"x": (None, 3)}
    )
    model = save_reloaded(given.to_model(), tmp_path)
    np.testing.assert_array_equal(model.predict(X, verbose=0), expected)
    for shapes, message in (
        ({"w": (1,)}, "`shapes` must name inputs"),
        ({"x": (1, "a")}, "must hold sizes"),
        ({"x": 3}, "must hold sizes"),
    ):
        with pytest.raises(ValueError, match=message):
            GraphLayer(tmp_path, inputs="x", outputs="y", shapes=shapes)


@pytest.mark.parametrize("kind", ["words", "numbers"])
def test_f8_a_table_that_the_graph_fills(tmp_path: Path, kind: str) -> None:
    words = np.array(["b", "zz", "a", "c", "b"])
    with saved(tmp_path) as session:
        x = v1.placeholder(
            tf.string if kind == "words" else tf.int64, [None], name="x"
        )
        if kind == "words":
            keys, values = tf.constant(["a", "b", "c"]), tf.range(3)
            initial = tf.lookup.KeyValueTensorInitializer(keys, values)
        else:
            keys = tf.constant([30, 10, 20], tf.int64)
            initial = tf.lookup.KeyValueTensorInitializer(keys, tf.range(3))
        table = tf.lookup.StaticHashTable(initial, -1)
        v1.add_to_collection("table_initializer", table._init_op)
        found = tf.identity(table.lookup(x), name="found")
        tf.identity(table.size(), name="size")
        tf.gather(weight(4, 2), found + 1, name="y")
        initialize(session)
        fed = words if kind == "words" else np.array([10, 5, 30, 20, 10])
        expected = session.run(found, {x: fed})
    assert -1 in expected
    layer = GraphLayer(tmp_path, inputs="x", outputs=["found", "size"])
    numbers, size = layer(fed)
    np.testing.assert_array_equal(numbers, expected)
    assert int(size) == 3
    model = GraphLayer(tmp_path, inputs="x", outputs="y").to_model()
    again = save_reloaded(model, tmp_path)
    given = tf.constant(fed)
    np.testing.assert_array_equal(again(given), model(given))


def test_f8_a_table_that_a_file_fills_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.string, [None], name="x")
        table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(tmp_path / "words.txt"),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            -1,
        )
        tf.gather(weight(4, 2), table.lookup(x) + 1, name="y")
        session.run(v1.global_variables_initializer())
    with pytest.raises(ValueError, match="a table that the graph does not fil"):
        GraphLayer(tmp_path, inputs="x", outputs="y")


def test_f9_an_unknown_operation_is_listed(tmp_path: Path) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        h = tf.nn.softsign(x, name="mine")
        tf.nn.softmax(h @ weight(3, 2), name="y")
        initialize(session)

    def rename(graph: v1.GraphDef) -> None:
        for node in graph.node:
            node.op = "MyOwnOp" if node.name == "mine" else node.op

    rewrite(tmp_path, rename)
    report = list_graph(tmp_path)
    assert "y" in [one.name for one in report.outputs]
    assert [one.name for one in report.refused] == ["mine"]
    assert "`tf.load_op_library(path)`" in str(report)
    layer = GraphLayer(tmp_path, inputs="mine", outputs="y")
    assert layer(X).shape == (5, 2)


def test_f10_what_trains_is_chosen(tmp_path: Path) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        with v1.variable_scope("conv1"):
            h = x @ weight(3, 4)
        with v1.variable_scope("conv2"):
            h = h @ weight(4, 4)
        with v1.variable_scope("fc"):
            h = h @ weight(4, 2)
        tf.identity(h, name="y")
        initialize(session)
    for trainable, count in (
        (True, 3),
        (False, 0),
        ("conv*", 2),
        (["conv1/w", "fc/*"], 2),
    ):
        layer = GraphLayer(
            tmp_path, inputs="x", outputs="y", trainable=trainable
        )
        assert len(layer.trainable_weights) == count
    with pytest.raises(ValueError, match=r"like 'conv3\*'. Nearest: conv"):
        GraphLayer(tmp_path, inputs="x", outputs="y", trainable="conv3*")


def test_f11_a_fixed_batch_size_is_filled_up(tmp_path: Path) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [8, 3], name="x")
        y = tf.nn.softmax(tf.reshape(x, [8, 3]) @ weight(3, 2), name="y")
        tf.identity(y - tf.reduce_mean(y, 0), name="centered")
        initialize(session)
        many = np.random.default_rng(1).normal(size=(19, 3)).astype("float32")
        padded = np.concatenate([many, many[-1:].repeat(5, 0)])
        parts = [session.run(y, {x: part}) for part in np.split(padded, 3)]
        expected = np.concatenate(parts)[:19]
    layer = GraphLayer(tmp_path, inputs="x", outputs="y")
    np.testing.assert_array_equal(layer(many), expected)
    assert layer(many[:0]).shape == (0, 2)
    model = save_reloaded(layer.to_model(), tmp_path)
    assert model.input_shape == (None, 3)
    np.testing.assert_array_equal(model.predict(many, verbose=0), expected)
    model.compile("sgd", "mse")
    model.fit(many[:16], expected[:16], batch_size=8, verbose=0)
    with pytest.raises(ValueError, match="trains on 8 rows at a time"):
        layer(many, training=True)
    # Its rows depend on each other, so it cannot be filled up.
    with pytest.raises(ValueError, match="an output depends on all of them"):
        GraphLayer(tmp_path, inputs="x", outputs="centered")(many)


@pytest.mark.parametrize("initial", ["zeros", "random"])
def test_f12_a_variable_that_the_saver_left_out(
    tmp_path: Path, initial: str, caplog: pytest.LogCaptureFixture
) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        w = weight(3, 2)
        kind = v1.zeros_initializer if initial == "zeros" else None
        left_out = v1.get_variable("left_out", [2], initializer=kind)
        y = tf.identity(x @ w + left_out, name="y")
        initialize(session)
        v1.train.Saver([w]).save(session, str(tmp_path / "m"))
        expected = session.run(y, {x: X})
        value = session.run(left_out)
    if initial == "zeros":
        layer = GraphLayer(tmp_path, inputs="x", outputs="y")
        assert "no value for 'left_out': their initial values" in caplog.text
        np.testing.assert_array_equal(layer(X), expected)
        return
    with pytest.raises(ValueError, match=r"constants=\{'left_out': np.zeros"):
        GraphLayer(tmp_path, inputs="x", outputs="y")
    layer = GraphLayer(
        tmp_path, inputs="x", outputs="y", constants={"left_out": value}
    )
    np.testing.assert_array_equal(layer(X), expected)


def test_training_on_the_loss_of_the_graph(tmp_path: Path) -> None:
    with saved(tmp_path) as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        t = v1.placeholder(tf.float32, [None, 2], name="t")
        cost = tf.reduce_mean(tf.square(x @ weight(3, 2) - t), name="cost")
        initialize(session)
        labels = np.ones((5, 2), "float32")
        first = session.run(cost, {x: X, t: labels})
    layer = GraphLayer(tmp_path, inputs=["x", "t"], outputs="cost")
    inputs = keras.Input((3,)), keras.Input((2,))
    model = keras.Model(inputs, layer(list(inputs)))
    model.compile(keras.optimizers.SGD(0.1), loss=lambda _, cost: cost)
    zeros = np.zeros(5)
    history = model.fit([X, labels], zeros, epochs=3, verbose=0).history["loss"]
    assert history[0] == pytest.approx(first)
    assert history[2] < history[1] < history[0]


def test_sparse_inputs_take_a_sparse_tensor(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [1, 4], [2, 0]])
    with saved(tmp_path) as session:
        one = v1.sparse_placeholder(tf.float32, [None, 5], name="one")
        ids = v1.sparse_placeholder(tf.int64, [None, None], name="ids")
        y = tf.sparse.sparse_dense_matmul(one, weight(5, 2))
        y = tf.identity(y, name="y")
        table = v1.get_variable("table", [7, 3], use_resource=False)
        z = v1.nn.embedding_lookup_sparse(table, ids, None, combiner="mean")
        z = tf.identity(z, name="z")
        initialize(session)
        a = v1.SparseTensorValue(indices, np.ones(3, "float32"), [3, 5])
        b = v1.SparseTensorValue(indices, np.array([1, 2, 6]), [3, 5])
        expected = session.run([y, z], {one: a, ids: b})
    assert [str(entry) for entry in list_graph(tmp_path).inputs] == [
        "one (None, None) float32, sparse",
        "ids (None, None) int64, sparse",
    ]
    layer = GraphLayer(tmp_path, inputs=["one", "ids"], outputs=["y", "z"])
    a, b = tf.SparseTensor(*a), tf.SparseTensor(*b)
    for given in ([a, b], {"ids": b, "one": a}):
        for found, wanted in zip(layer(given), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    single = GraphLayer(tmp_path, inputs="one", outputs="y")
    model = save_reloaded(single.to_model(), tmp_path)
    np.testing.assert_array_equal(model.predict(a, verbose=0), expected[0])
    model.compile("sgd", "mse")
    model.fit(a, np.zeros((3, 2)), batch_size=2, verbose=0)
    with pytest.raises(TypeError, match=r"must be a `tf\.SparseTensor`"):
        single(np.ones((3, 5)))
