"""The messages that the page about graphs explains are those of the code."""

from collections.abc import Callable
import contextlib
from pathlib import Path
import re
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_graph
from keras_port.tf1.graph.select import shape_process
from tests.gates import checkout

v1 = tf.compat.v1
PAGE = checkout.ROOT / "docs" / "tf1_graphs.md"
X = np.ones((2, 6), "float32")


def quoted() -> list[str]:
    """Returns the messages in the table of the page."""
    table = PAGE.read_text().partition("## Messages, and what to do")[2]
    cells = re.findall(r"^\| (``.*?``) \|", table, re.MULTILINE)
    return [one for cell in cells for one in re.findall("``(.*?)``", cell)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of graphs that lead to the messages."""
    folder = tmp_path_factory.mktemp("graphs")
    v1.disable_control_flow_v2()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        build()
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "old" / "m"))
        w, v, count = v1.global_variables()
        v1.train.Saver([w, v]).save(session, str(folder / "no_count" / "m"))
        v1.train.Saver([w, count]).save(session, str(folder / "no_v" / "m"))
    v1.enable_control_flow_v2()
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", [6, 2], use_resource=False)
        v1.get_variable("v", [6, 2], use_resource=False)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "other" / "m"))
    content = (folder / "old" / "m.meta").read_bytes()
    definition = graph.as_graph_def()
    for path, written in (
        ("graph.pb", definition.SerializeToString()),
        ("graph.pbtxt", str(definition).encode()),
        ("cut.pb", content[: len(content) // 2]),
        ("model.h5", b"\x89HDF\r\n"),
        ("pointer.pb", b"version https://git-lfs.github.com/spec/v1\n"),
        ("two/a.meta", content),
        ("two/b.meta", content),
        ("alone/m.meta", content),
        ("unknown.pb", rename(definition, "MyOwnOp")),
        ("unjudged.pb", rename(definition, "Fact")),
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(written)
    for name, left_out in (("nometa", "m.meta"), ("nodata", "m.data")):
        shutil.copytree(folder / "old", folder / name)
        for path in (folder / name).glob(f"{left_out}*"):
            path.unlink()
    tf.saved_model.save(tf.Module(), str(folder / "saved"))
    return folder


def build() -> None:
    """Adds the operations of the graph."""
    x = v1.placeholder(tf.float32, [None, 6], name="x")
    v1.placeholder(tf.float32, [None, 6], name="labels")
    eight = v1.placeholder(tf.float32, [8, 6], name="eight")
    keep_prob = v1.placeholder(tf.float32, [], name="keep_prob")
    free = v1.placeholder(tf.float32, name="free")
    w = v1.get_variable("w", [6, 6], use_resource=False)
    v = v1.get_variable("v", [6, 2], use_resource=False)
    count = v1.get_variable(
        "count", [], initializer=v1.zeros_initializer, use_resource=False
    )
    h = x @ w
    tf.identity(h, name="logits")
    tf.identity(h @ v, name="scores")
    tf.identity(h + count, name="counted")
    tf.identity(h * keep_prob, name="dropped")
    tf.identity(eight @ w, name="rows")
    tf.reduce_mean(eight @ w, name="cost")
    tf.identity(eight - tf.reduce_mean(eight, 0), name="centered")
    tf.identity(free * count, name="any")
    tf.abs(h, name="mine")
    sizes = v1.placeholder(tf.int32, [None], name="sizes")
    tf.reshape(h, sizes, name="reshaped")
    flag = tf.reduce_sum(x) > 0
    v1.cond(flag, lambda: tf.exp(h, name="inside"), lambda: h)
    v1.py_func(lambda a: a, [x], tf.float32, name="python")
    v1.FIFOQueue(9, [tf.float32]).dequeue(name="batch")
    tf.io.read_file("a", name="file")
    table = tf.raw_ops.HashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)
    tf.raw_ops.LookupTableFindV2(
        table_handle=table,
        keys=tf.zeros([1], tf.int64),
        default_value=tf.constant(0, tf.int64),
        name="found",
    )
    tf.raw_ops.StackV2(max_size=2, elem_type=tf.float32, name="stack")
    custom = tf.custom_gradient(lambda a: (a * 2.0, lambda g: g))
    tf.identity(custom(h), name="custom")
    sparse = v1.sparse_placeholder(tf.float32, [None, 6], name="sparse")
    tf.identity(tf.sparse.sparse_dense_matmul(sparse, w), name="product")


def rename(graph: v1.GraphDef, op: str) -> bytes:
    """Returns a graph one of whose operations is of another type."""
    changed = v1.GraphDef.FromString(graph.SerializeToString())
    for node in changed.node:
        node.op = op if node.name == "mine" else node.op
    return bytes(changed.SerializeToString())


def make(path: Path, **wanted: Any) -> GraphLayer:
    """Makes a layer."""
    return GraphLayer(path, **{"inputs": "x", "outputs": "logits"} | wanted)


def provoke(folder: Path) -> list[Callable[[], object]]:
    """Returns calls that give the messages of the page, one each."""
    old = folder / "old"
    scores = {"outputs": "scores"}

    def fit() -> object:
        model = make(old, inputs="eight", outputs="rows").to_model()
        model.compile("sgd", "mse")
        return model.fit(np.ones((8, 6)), np.ones((16, 6)), verbose=0)

    def fit_with_32_rows() -> object:
        wanted = {"inputs": "eight", "outputs": "cost"}
        model = make(old, **wanted).to_model()
        model.compile("sgd", loss=lambda _, cost: cost)
        data = tf.data.Dataset.from_tensors((np.ones((8, 6)), np.zeros(8)))
        more = tf.data.Dataset.from_tensors((np.ones((9, 6)), np.zeros(9)))
        return model.fit(data.concatenate(more), shuffle=False, verbose=0)

    def load() -> object:
        make(old).to_model().save(folder / "m.keras")
        return keras.saving.load_model(folder / "m.keras")

    def limit() -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shape_process, "ANSWER_SECONDS", 0)
            return list_graph(old)

    return [
        lambda: list_graph(folder / "modle.ckpt"),
        *(
            lambda name=name: list_graph(folder / name)
            for name in (
                *("two", "nometa", "pointer.pb", "cut.pb", "graph.pbtxt"),
                *("model.h5", "saved"),
            )
        ),
        lambda: make(folder / "graph.pb"),
        lambda: make(folder / "alone"),
        lambda: make(folder / "nodata"),
        lambda: make(old, checkpoint=folder / "no_v", **scores),
        lambda: make(old, checkpoint=folder / "no_count", outputs="counted"),
        lambda: make(old, checkpoint=folder / "other"),
        lambda: make(old, outputs="logit"),
        lambda: GraphLayer(old),
        lambda: GraphLayer(save_signature(folder), signature="other"),
        lambda: make(old, outputs="dropped"),
        lambda: make(old, outputs="dropped", constants={"keep_prob": (1, 2)}),
        lambda: make(old, outputs="dropped", constants={"keep_prob": "half"}),
        lambda: make(old, constants={"x": 1.0}),
        lambda: make(old, shapes={"w": (1,)}),
        lambda: make(old, trainable="conv*"),
        *(
            lambda name=name: make(old, outputs=name)
            for name in (
                *("python", "batch", "file", "found", "custom", "stack"),
                "cond/inside",
            )
        ),
        lambda: make(folder / "unknown.pb", outputs="mine", checkpoint=old),
        lambda: make(folder / "unjudged.pb", outputs="mine", checkpoint=old),
        limit,
        lambda: make(old, inputs="free", outputs="any").to_model(),
        lambda: make(old, inputs=["x", "sizes"], outputs="reshaped").to_model(),
        lambda: make(old)(np.ones((2, 5))),
        lambda: make(old, inputs="eight", outputs="centered")(X),
        lambda: make(old, inputs="eight", outputs="rows")(X, training=True),
        lambda: make(old, inputs="sparse", outputs="product")(X),
        lambda: make(old, inputs=["x", "labels"])(X),
        lambda: make(folder / "graph.pb", checkpoint=old)(X, training=True),
        fit,
        fit_with_32_rows,
        load,
    ]


def save_signature(folder: Path) -> Path:
    """Saves a SavedModel of TensorFlow 1 with a signature."""
    path = folder / "signed"
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": x + 1})
    return path


def test_the_messages_of_the_page_are_those_of_the_code(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    messages = []
    for call in provoke(folder):
        with contextlib.suppress(NotImplementedError):
            try:
                call()
            except (
                *(ValueError, OSError, TypeError),
                tf.errors.InvalidArgumentError,
            ) as error:
                messages.append(str(error))
    messages += [record.getMessage() for record in caplog.records]
    explained = quoted()
    assert len(explained) > 40
    absent = [
        one
        for one in explained
        if not any(
            all(part.strip() in message for part in one.split("…"))
            for message in messages
        )
    ]
    assert not absent, "\n".join([*absent, "---", *messages])
