"""A graph is read from every file that TensorFlow 1 left, and no other."""

from collections.abc import Callable
import os
from pathlib import Path
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_graph
from tests.tf1.graph.test_broken_files import mutate

v1 = tf.compat.v1
FUZZ_FILES = int(os.environ.get("KERAS_PORT_FUZZ_FILES", "40"))
X = np.random.default_rng(5).normal(size=(7, 4)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with one network in every kind of file."""
    folder = tmp_path_factory.mktemp("graphs")
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        w = v1.get_variable("hidden/w", [4, 5], use_resource=False)
        h = tf.nn.relu(x @ w)
        scale = tf.constant([0.5] * 5, name="scale")
        h, _, _ = v1.nn.fused_batch_norm(
            h[:, None, None],
            tf.constant([1.0] * 5, name="bn/gamma"),
            scale,
            tf.constant([0.1] * 5, name="bn/mean"),
            tf.constant([2.0] * 5, name="bn/variance"),
            is_training=False,
        )
        v = v1.get_variable("v", [5, 3], use_resource=False)
        y = tf.nn.softmax(h[:, 0, 0] @ v, name="y")
        z = tf.argmax(y, 1, name="z")
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver()
        saver.save(session, str(folder / "meta" / "model.ckpt"))
        v1.saved_model.simple_save(
            session, str(folder / "saved"), {"image": x}, {"p": y, "digit": z}
        )
        frozen = v1.graph_util.convert_variables_to_constants(
            session, session.graph_def, ["y"]
        )
        np.save(folder / "predicted.npy", session.run(y, {x: X}))
    (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
    (folder / "graph.pbtxt").write_text(str(frozen))
    (folder / "graph.pb").write_bytes(
        v1.MetaGraphDef.FromString(
            (folder / "meta" / "model.ckpt.meta").read_bytes()
        ).graph_def.SerializeToString()
    )
    # As `saver.save(session, "model/")` names them.
    (folder / "bare").mkdir()
    for path in (folder / "meta").glob("model.ckpt.*"):
        name = path.name.removeprefix("model.ckpt")
        shutil.copy(path, folder / "bare" / name)
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "weights"),
    [
        ("meta", ".meta file", 2),
        ("meta/model.ckpt", ".meta file", 2),
        ("meta/model.ckpt.index", ".meta file", 2),
        ("bare", ".meta file", 2),
        ("bare/.meta", ".meta file", 2),
        ("frozen.pb", "frozen graph", 0),
        ("saved", "SavedModel", 2),
        ("saved/saved_model.pb", "SavedModel", 2),
    ],
)
def test_every_kind_predicts_what_its_session_did(
    folder: Path, name: str, kind: str, weights: int
) -> None:
    layer = GraphLayer(folder / name, inputs="x", outputs="y")
    np.testing.assert_array_equal(layer(X), np.load(folder / "predicted.npy"))
    assert len(layer.trainable_weights) == weights
    report = list_graph(folder / name)
    assert report.kind == kind
    assert "y" in [one.name for one in report.outputs]


def test_a_graph_without_values_needs_a_checkpoint(
    folder: Path, tmp_path: Path
) -> None:
    content = (folder / "meta" / "model.ckpt.meta").read_bytes()
    graph = v1.MetaGraphDef.FromString(content).graph_def
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    assert list_graph(path).kind == "graph without values"
    with pytest.raises(ValueError, match=r"Give the `checkpoint` that was sav"):
        GraphLayer(path, inputs="x", outputs="y")
    layer = GraphLayer(
        path, inputs="x", outputs="y", checkpoint=folder / "meta"
    )
    np.testing.assert_array_equal(layer(X), np.load(folder / "predicted.npy"))


def test_the_content_tells_the_kind_and_not_the_name(
    folder: Path, tmp_path: Path
) -> None:
    for name, source in (
        ("a.pb", "meta/model.ckpt.meta"),
        ("b", "frozen.pb"),
        ("c.meta", "frozen.pb"),
    ):
        shutil.copy(folder / source, tmp_path / name)
        assert (
            list_graph(tmp_path / name).kind == list_graph(folder / source).kind
        )


def test_a_signature_names_inputs_and_outputs(folder: Path) -> None:
    layer = GraphLayer(folder / "saved")
    digits, y = layer(X)
    predicted = np.load(folder / "predicted.npy")
    np.testing.assert_array_equal(y, predicted)
    np.testing.assert_array_equal(digits, predicted.argmax(1))
    report = list_graph(folder / "saved")
    assert "serving_default: image = x -> digit = z, p = y" in str(report)
    assert {one.name for one in report.outputs} == {"y", "z"}
    named = GraphLayer(folder / "saved", inputs="image", outputs="p")
    np.testing.assert_array_equal(named(X), predicted)
    only = GraphLayer(folder / "saved", outputs="y")
    assert only.to_model().output_shape == (None, 3)
    with pytest.raises(ValueError, match="no signature 'other'"):
        GraphLayer(folder / "saved", signature="other")
    with pytest.raises(ValueError, match="this frozen graph has no signature"):
        GraphLayer(folder / "frozen.pb")


def test_constants_of_a_frozen_graph_train_on_request(
    folder: Path, tmp_path: Path
) -> None:
    layer = GraphLayer(
        folder / "frozen.pb", inputs="x", outputs="y", trainable="*"
    )
    # The means and variances of a batch normalization never train.
    names = [one.path.partition("/")[2] for one in layer.trainable_weights]
    assert set(names) == {"hidden/w", "v", "bn/gamma", "scale"}
    predicted = np.load(folder / "predicted.npy")
    # TensorFlow fuses less where a scale is no constant.
    np.testing.assert_allclose(layer(X), predicted, rtol=1e-6)
    some = GraphLayer(
        folder / "frozen.pb", inputs="x", outputs="y", trainable=["hid*", "v"]
    )
    assert len(some.weights) == 2
    model = some.to_model()
    model.compile(keras.optimizers.SGD(0.5), "mse")
    model.fit(X, np.eye(3)[np.arange(7) % 3], epochs=2, verbose=0)
    assert np.abs(some.weights[0] - layer.weights[0]).max() > 0
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=False)
    np.testing.assert_array_equal(
        loaded.predict(X, verbose=0), model.predict(X, verbose=0)
    )
    with pytest.raises(ValueError, match="no variable has a name like 'w'"):
        GraphLayer(folder / "frozen.pb", inputs="x", outputs="y", trainable="w")


def test_moving_averages_in_a_condition_stay_constants(tmp_path: Path) -> None:
    v1.disable_control_flow_v2()
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 1, 1, 2], name="x")
        w, mean, variance = (
            tf.constant([1.0, 2.0], name=name)
            for name in ("w", "mean", "bn/moving_variance")
        )
        v1.cond(
            v1.placeholder(tf.bool, [], name="is_training"),
            lambda: v1.nn.fused_batch_norm(x, w, w)[0],
            lambda: v1.nn.fused_batch_norm(
                x, w, w, mean, variance, is_training=False
            )[0],
        )
    v1.enable_control_flow_v2()
    content = graph.as_graph_def().SerializeToString()
    (tmp_path / "frozen.pb").write_bytes(content)
    report = list_graph(tmp_path)
    assert [one.name for one in report.variables] == ["w"]


def test_a_training_that_would_change_nothing_is_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = GraphLayer(folder / "frozen.pb", inputs="x", outputs="y").to_model()
    model.predict(X, verbose=0)
    assert "no weight that trains" not in caplog.text
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="does not have any trainable"):
        model.fit(X, np.zeros((7, 3)), verbose=0)
    assert "no weight that trains" in caplog.text
    assert "none of the constants train" in str(
        list_graph(folder / "frozen.pb")
    )


@pytest.mark.fault("C42")
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04", "a `.keras` or another zip file"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\x1c\0\0\0TFL3", "a LiteRT model"),
        (b"<!DOCTYPE html><html>", "a web page; download the file itself"),
        (b'model_checkpoint_path: "m"', "the list of a folder's checkpoints"),
        (b'node {\n  name: "x"\n', "a graph as text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "is empty"),
        (b"anything else", "is cut, or is neither"),
    ],
)
@pytest.mark.parametrize(
    "read",
    [lambda path: GraphLayer(path, inputs="x", outputs="y"), list_graph],
    ids=["GraphLayer", "list_graph"],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, content: bytes, kind: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / "frozen.pb").write_bytes(content)
    with pytest.raises((ValueError, OSError), match=kind):
        read(tmp_path / "frozen.pb")


@pytest.mark.fault("C42")
def test_the_values_alone_are_no_graph(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "values"
    shutil.copy(folder / "meta" / "model.ckpt.index", path)
    with pytest.raises(ValueError, match="the values of variables alone"):
        list_graph(path)


@pytest.mark.fault("C42")
def test_a_folder_without_a_graph_says_what_is_there(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copy(folder / "meta" / "model.ckpt.index", tmp_path)
    for path in (tmp_path, tmp_path / "model.ckpt"):
        with pytest.raises(FileNotFoundError, match=r"tf1\.load_checkpoint"):
            list_graph(path)
    (tmp_path / "text").mkdir()
    shutil.copy(folder / "graph.pbtxt", tmp_path / "text")
    with pytest.raises(ValueError, match="a graph as text"):
        list_graph(tmp_path / "text")
    (tmp_path / "two").mkdir()
    for name in ("a.meta", "b.meta"):
        shutil.copy(
            folder / "meta" / "model.ckpt.meta", tmp_path / "two" / name
        )
    with pytest.raises(
        FileNotFoundError, match=r"holds 2 .* Found: a\.meta, b\.meta"
    ):
        list_graph(tmp_path / "two")


def test_a_graph_without_values_takes_a_checkpoint(folder: Path) -> None:
    report = list_graph(folder / "graph.pb")
    assert report.kind == "graph without values"
    assert [o.name for o in report.variables][:2] == ["hidden/w", "v"]
    with pytest.raises(ValueError, match="Give the `checkpoint` that was"):
        GraphLayer(folder / "graph.pb", inputs="x", outputs="y")
    layer = GraphLayer(
        folder / "graph.pb",
        inputs="x",
        outputs="y",
        checkpoint=folder / "meta",
        trainable="*",
    )
    np.testing.assert_array_equal(layer(X), np.load(folder / "predicted.npy"))
    assert len(layer.trainable_weights) == 2


@pytest.mark.fault("C42")
def test_a_saved_model_of_tensorflow_2_is_named(tmp_path: Path) -> None:
    module = tf.Module()
    module.w = tf.Variable([1.0])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="a SavedModel of TensorFlow 2"):
        list_graph(tmp_path / "saved")


@pytest.mark.fault("C31")
def test_a_bucket_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="`path` must be a path on this mach"):
        GraphLayer("gs://bucket/model.ckpt", inputs="x", outputs="y")
    for checkpoint in ("s3://bucket/model.ckpt", ""):
        with pytest.raises(ValueError, match="`checkpoint` must "):
            GraphLayer(
                folder / "meta", inputs="x", outputs="y", checkpoint=checkpoint
            )


@pytest.mark.parametrize("name", ["frozen.pb", "saved/saved_model.pb"])
def test_a_mutated_file_loads_or_is_a_clear_error(
    folder: Path, name: str, tmp_path: Path
) -> None:
    content = (folder / name).read_bytes()
    shutil.copytree(folder / "saved", tmp_path / "saved")
    path = tmp_path / name
    outcomes = set()
    for seed in range(FUZZ_FILES):
        path.write_bytes(mutate(content, np.random.default_rng(seed)))
        try:
            layer = GraphLayer(path, inputs="x", outputs="y")
            layer(X)
            list_graph(path)
            outcomes.add("loads")
        except ValueError as error:
            outcomes.add("error" if "\n" not in str(error) else str(error))
        # A value that does not fit the data is found when the layer runs.
        except tf.errors.InvalidArgumentError:
            outcomes.add("runs into an error")
    # Few damaged files load, and by chance none of these.
    assert "error" in outcomes
    assert outcomes <= {"loads", "error", "runs into an error"}


@pytest.mark.parametrize("name", ["frozen.pb", "saved/saved_model.pb"])
def test_unsafe_operations_are_refused_in_every_kind(
    folder: Path, name: str, tmp_path: Path
) -> None:
    shutil.copytree(folder / "saved", tmp_path / "saved")
    if name == "frozen.pb":
        graph = v1.GraphDef.FromString((folder / name).read_bytes())
        add_file_reader(graph)
        content = graph.SerializeToString()
    else:
        content = (folder / name).read_bytes()
        saved = type_of_saved_model().FromString(content)
        add_file_reader(saved.meta_graphs[0].graph_def)
        content = saved.SerializeToString()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="touches files"):
        GraphLayer(tmp_path / name, inputs="x", outputs="read")


def test_an_asset_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    with tf.Graph().as_default(), v1.Session() as session:
        words = v1.placeholder(tf.string, [None], name="words")
        x = v1.placeholder(tf.float32, [None, 4], name="x")
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
        tf.identity(table.lookup(words), name="found")
        w = v1.get_variable("w", [4, 3], use_resource=False)
        tf.matmul(x, w, name="y")
        session.run([v1.global_variables_initializer(), table._init_op])
        builder = v1.saved_model.Builder(str(tmp_path / "saved"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()
    (asset,) = (tmp_path / "saved" / "assets").iterdir()
    asset.unlink()
    # Whoever opened it would wait for ever.
    os.mkfifo(asset)
    assert "y" in [o.name for o in list_graph(tmp_path / "saved").outputs]
    assert GraphLayer(tmp_path / "saved", inputs="x", outputs="y")(X).shape
    with pytest.raises(ValueError, match="a table that the graph does not fil"):
        GraphLayer(tmp_path / "saved", inputs="words", outputs="found")


def add_file_reader(graph: v1.GraphDef) -> None:
    """Adds an operation that reads a file."""
    node = graph.node.add(name="file", op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/passwd"))
    graph.node.add(name="read", op="ReadFile", input=["file"])


def type_of_saved_model() -> type:
    from keras_port.tf1._file_kinds import find_message

    return find_message("tensorflow.SavedModel")
