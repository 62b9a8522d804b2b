"""A file of another kind is named, with a way to a checkpoint."""

from collections.abc import Callable
import pathlib
from pathlib import Path
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_graph
from keras_port.tf1 import load_checkpoint
from tests.small import small_model

v1 = tf.compat.v1
VALUES = np.arange(12, dtype="float32").reshape(4, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with one graph as SavedModel, frozen and as text."""
    folder = tmp_path_factory.mktemp("graphs")
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        w = v1.get_variable("W", initializer=VALUES, use_resource=False)
        y = tf.matmul(x, w, name="y")
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(
            session, str(folder / "saved"), {"x": x}, {"y": y}
        )
        definition = session.graph_def
        frozen = v1.graph_util.convert_variables_to_constants(
            session, definition, ["y"]
        )
    (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
    (folder / "graph.pbtxt").write_text(str(definition))
    (folder / "m.keras").write_bytes(b"PK")
    return folder


@pytest.mark.fault("C42")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("frozen.pb", "a graph alone, probably a frozen one"),
        ("saved", "a SavedModel or a module of TensorFlow Hub"),
        ("saved/saved_model.pb", "a SavedModel or a module of"),
        ("graph.pbtxt", "a graph as text"),
        ("m.keras", "a Keras model. Use `keras.saving.load_model`"),
    ],
)
@pytest.mark.parametrize(
    "read",
    [lambda path: GraphLayer(path, inputs="x", outputs="y"), list_graph],
    ids=["GraphLayer", "list_graph"],
)
def test_a_file_of_another_kind_is_named(
    folder: Path, name: str, kind: str, read: Callable[[Path], object]
) -> None:
    message = f"{folder / name} is not a `.meta` file of `tf.train.Saver`, but "
    with pytest.raises(ValueError, match=re.escape(message + kind)):
        read(folder / name)


def run_advice(error: Exception, folder: Path) -> None:
    """Runs the code that an error message advises, in a folder."""
    code = re.findall(r"`(\w[^`]*\([^`]*)`", str(error))[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(code, {"tf": tf, "pathlib": pathlib})


@pytest.mark.fault("C42")
@pytest.mark.parametrize(
    ("name", "written", "weights"),
    [("saved", "old/model.ckpt", 1), ("frozen.pb", "frozen.meta", 0)],
)
def test_the_advice_leads_to_a_layer(
    folder: Path, tmp_path: Path, name: str, written: str, weights: int
) -> None:
    with pytest.raises(ValueError, match="is not a") as caught:
        list_graph(folder / name)
    run_advice(caught.value, tmp_path)
    layer = GraphLayer(tmp_path / written, inputs="x", outputs="y")
    np.testing.assert_array_equal(layer(np.eye(4, dtype="float32")), VALUES)
    assert len(layer.weights) == weights


@pytest.mark.fault("C42")
def test_a_frozen_graph_is_not_a_checkpoint(folder: Path) -> None:
    with pytest.raises(ValueError, match="but a frozen graph"):
        load_checkpoint(small_model(), folder / "frozen.pb")


@pytest.mark.fault("C31")
def test_a_bucket_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="`path` must be a path on this mach"):
        GraphLayer("gs://bucket/model.ckpt", inputs="x", outputs="y")
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(folder / "saved"))
        v1.train.Saver().save(session, str(folder / "model.ckpt"))
    for checkpoint in ("s3://bucket/model.ckpt", ""):
        with pytest.raises(ValueError, match="`checkpoint` must "):
            GraphLayer(
                folder / "model.ckpt.meta",
                inputs="x",
                outputs="y",
                checkpoint=checkpoint,
            )
