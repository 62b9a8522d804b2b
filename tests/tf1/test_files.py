"""A checkpoint is found by any of its names, and a broken one is an error."""

from pathlib import Path
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.models import build_perceptron
from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_variables
from keras_port.tf1 import load_checkpoint
from keras_port.tf1._files import open_checkpoint
from tests.tf1.sessions import GOLDEN
from tests.tf1.sessions import counted
from tests.tf1.sessions import write

PARTS = [".index", ".data-00000-of-00001", ".meta"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a folder with one checkpoint of three files and its list."""
    write(tmp_path / "old" / "model.ckpt", {"W": counted(4, 3)}, meta=True)
    return tmp_path / "old"


def one_layer() -> keras.Model:
    """Returns a model that fits the checkpoint in `folder`."""
    layer = keras.layers.Dense(3, use_bias=False)
    return keras.Sequential([keras.Input((4,)), layer])


@pytest.mark.parametrize("name", ["", "model.ckpt", "checkpoint"])
def test_a_folder_a_prefix_and_the_list_are_the_same(
    folder: Path, name: str
) -> None:
    file = open_checkpoint(folder / name)
    assert file.prefix == folder / "model.ckpt"
    assert np.array_equal(file.read("W"), counted(4, 3))


@pytest.mark.parametrize("suffix", PARTS)
def test_each_part_means_the_whole(folder: Path, suffix: str) -> None:
    assert open_checkpoint(folder / f"model.ckpt{suffix}").shapes == {
        "W": (4, 3)
    }


def test_a_relative_path_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for name in (".", "model.ckpt", "model.ckpt.index", "checkpoint"):
        assert open_checkpoint(name).shapes == {"W": (4, 3)}


@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_the_golden_files_hold_what_was_written(version: str) -> None:
    model = build_perceptron()
    report = load_checkpoint(model, GOLDEN / version)
    assert np.array_equal(model.weights[0], counted(784, 10))
    assert np.array_equal(model.weights[1], counted(10))
    assert report.used == (("fc/kernel", "W"), ("fc/bias", "b"))


def test_a_list_from_another_machine_means_the_files_beside_it(
    folder: Path,
) -> None:
    for named in (
        "/data/run/model.ckpt",
        r"C:\\run\\model.ckpt",
        "./model.ckpt",
    ):
        (folder / "checkpoint").write_text(f'model_checkpoint_path: "{named}"')
        assert open_checkpoint(folder).prefix == folder / "model.ckpt"


@pytest.mark.parametrize(
    "named", ["../secret", "{}/secret", "sub/../../secret"]
)
def test_a_list_never_leads_out_of_its_folder(folder: Path, named: str) -> None:
    write(folder.parent / "secret", {"S": counted(2)})
    named = named.format(folder.parent)
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{named}"')
    with pytest.raises(FileNotFoundError, match=r"names .*secret.*model\.ckpt"):
        open_checkpoint(folder)


def test_a_link_in_a_list_does_not_lead_out_either(folder: Path) -> None:
    write(folder.parent / "else" / "secret", {"S": counted(2)})
    (folder / "link").symlink_to(folder.parent / "else")
    (folder / "checkpoint").write_text('model_checkpoint_path: "link/secret"')
    with pytest.raises(FileNotFoundError, match="not in its folder"):
        open_checkpoint(folder)


def test_a_list_may_name_a_folder_below(folder: Path) -> None:
    write(folder / "deep" / "best", {"D": counted(2)})
    (folder / "checkpoint").write_text('model_checkpoint_path: "deep/best"')
    assert open_checkpoint(folder).shapes == {"D": (2,)}


def test_a_list_that_is_none_is_an_error(folder: Path) -> None:
    for content in (b"model: 1 2 {", b"\xff\xfe\x00", b""):
        (folder / "checkpoint").write_bytes(content)
        with pytest.raises((ValueError, FileNotFoundError), match="prefix"):
            open_checkpoint(folder)


def test_without_a_list_one_checkpoint_is_meant_and_two_are_named(
    folder: Path,
) -> None:
    (folder / "checkpoint").unlink()
    assert open_checkpoint(folder).prefix.name == "model.ckpt"
    write(folder / "other.ckpt", {"W": counted(1)})
    (folder / "checkpoint").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt, other\.ckpt"):
        open_checkpoint(folder)


def test_what_is_not_there_is_named_with_what_is(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"modle\.ckpt.*model\.ckpt"):
        list_variables(folder / "modle.ckpt")


@pytest.mark.parametrize("version", [1, 2])
def test_a_checkpoint_in_several_parts_is_read(
    tmp_path: Path, version: int
) -> None:
    values = {"a": counted(4, 3), "b": counted(3)}
    prefix = write(tmp_path / "m", values, sharded=True, write_version=version)
    file = open_checkpoint(prefix)
    assert np.array_equal(file.read("a"), values["a"])
    assert np.array_equal(file.read("b"), values["b"])


def test_a_variable_in_several_parts_is_read_as_one(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        W = v1.get_variable(
            "W",
            [6, 4],
            partitioner=v1.fixed_size_partitioner(3),
            use_resource=False,
        )
        session.run(v1.global_variables_initializer())
        expected = np.concatenate(session.run(list(W)))
        v1.train.Saver().save(session, str(tmp_path / "m"))
    file = open_checkpoint(tmp_path)
    assert file.shapes == {"W": (6, 4)}
    assert np.array_equal(file.read("W"), expected)


def cuts(content: bytes) -> list[bytes]:
    """Returns beginnings of a file, and one with a byte changed."""
    quarter = len(content) // 4
    return [
        b"",
        content[:10],
        content[: 2 * quarter],
        content[:-1],
        flipped(content, quarter),
    ]


def flipped(content: bytes, position: int) -> bytes:
    """Returns a file with one bit of one byte changed."""
    changed = bytes([content[position] ^ 8])
    return content[:position] + changed + content[position + 1 :]


@pytest.mark.parametrize("suffix", PARTS[:2])
@pytest.mark.parametrize("cut", range(5))
def test_a_cut_file_is_an_error_and_the_model_stays(
    tmp_path: Path, suffix: str, cut: int
) -> None:
    shutil.copytree(GOLDEN / "version_2", tmp_path / "cut")
    part = tmp_path / "cut" / f"model.ckpt{suffix}"
    part.write_bytes(cuts(part.read_bytes())[cut])
    model = build_perceptron()
    with pytest.raises(ValueError, match=r"model\.ckpt.*[Cc]opy") as caught:
        load_checkpoint(model, tmp_path / "cut")
    assert "\n" not in str(caught.value)
    assert not np.any(model.weights[0])
    assert not np.any(model.weights[1])


@pytest.mark.parametrize("cut", range(5))
def test_a_cut_file_of_the_first_version_is_an_error(
    tmp_path: Path, cut: int
) -> None:
    content = (GOLDEN / "version_1" / "model.ckpt").read_bytes()
    (tmp_path / "model.ckpt").write_bytes(cuts(content)[cut])
    model = build_perceptron()
    with pytest.raises(ValueError, match=r"model\.ckpt.*[Cc]opy"):
        load_checkpoint(model, tmp_path / "model.ckpt")
    assert not np.any(model.weights[0])


def test_no_flipped_bit_gives_other_values(tmp_path: Path) -> None:
    # Some bytes are padding; every other one is under a checksum.
    shutil.copytree(GOLDEN / "version_2", tmp_path / "bits")
    index = tmp_path / "bits" / "model.ckpt.index"
    content = index.read_bytes()
    refused = 0
    for position in range(0, len(content), 2):
        # A new file each time: TensorFlow maps it into memory.
        index.unlink()
        index.write_bytes(flipped(content, position))
        try:
            file = open_checkpoint(tmp_path / "bits")
            assert np.array_equal(file.read("W"), counted(784, 10))
            assert np.array_equal(file.read("b"), counted(10))
        except ValueError:
            refused += 1
    assert refused > 30


@pytest.mark.fault("F13")
def test_a_missing_data_file_is_named(folder: Path) -> None:
    (folder / "model.ckpt.data-00000-of-00001").unlink()
    assert len(list_variables(folder)) == 1
    missing = r"There is no .*model\.ckpt\.data-00000-of-00001, which holds"
    with pytest.raises(FileNotFoundError, match=missing):
        open_checkpoint(folder).read("W")
    with pytest.raises(FileNotFoundError, match=missing):
        load_checkpoint(one_layer(), folder)


@pytest.mark.fault("F13")
@pytest.mark.parametrize("suffix", PARTS[:2])
@pytest.mark.parametrize(
    ("content", "fix"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"/annex/objects/SHA256E-s9--ab", "git annex get"),
    ],
)
def test_a_pointer_to_a_large_file_is_named(
    folder: Path, suffix: str, content: bytes, fix: str
) -> None:
    (folder / f"model.ckpt{suffix}").write_bytes(content)
    match = rf"model\.ckpt{suffix} is a pointer of .*`{fix}`"
    with pytest.raises(ValueError, match=match) as caught:
        load_checkpoint(one_layer(), folder)
    assert "Copy" not in str(caught.value)


@pytest.mark.fault("F13")
def test_a_layer_names_a_missing_data_file_and_a_pointer(
    tmp_path: Path,
) -> None:
    v1 = tf.compat.v1
    # Larger than the other files.
    with tf.Graph().as_default(), v1.Session() as session:
        W = v1.get_variable("W", (100, 300), use_resource=False)
        tf.matmul(
            v1.placeholder(tf.float32, [None, 100], name="x"), W, name="y"
        )
        session.run(W.initializer)
        v1.train.Saver().save(session, str(tmp_path / "m"))
    data = tmp_path / "m.data-00000-of-00001"
    data.unlink()
    with pytest.raises(FileNotFoundError, match=f"There is no {data}, which"):
        GraphLayer(tmp_path, inputs="x", outputs="y")
    (tmp_path / "m.meta").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid"
    )
    with pytest.raises(ValueError, match="meta is a pointer of Git LFS"):
        GraphLayer(tmp_path, inputs="x", outputs="y")


def test_a_meta_file_without_a_checkpoint_is_named(folder: Path) -> None:
    (folder / "model.ckpt.index").unlink()
    with pytest.raises(FileNotFoundError, match=r"which is a `\.meta` file"):
        list_variables(folder / "model.ckpt.meta")


@pytest.fixture(params=["with a list", "without", "among others"])
def stemless(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Returns the folder of a checkpoint that was saved as `"model/"`."""
    folder = tmp_path / "model"
    folder.mkdir()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        W = v1.get_variable("W", initializer=counted(4, 3), use_resource=False)
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        tf.matmul(x, W, name="y")
        session.run(W.initializer)
        saver = v1.train.Saver()
        if request.param == "among others":
            saver.save(session, f"{folder}/other", write_meta_graph=False)
        saver.save(session, f"{folder}/")
    if request.param == "without":
        (folder / "checkpoint").unlink()
    assert {".index", ".meta"} <= {path.name for path in folder.iterdir()}
    return folder


@pytest.mark.fault("F6")
def test_files_without_a_stem_are_read(
    stemless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (
        f"{stemless}/",
        stemless / ".index",
        stemless / ".meta",
        stemless / ".data-00000-of-00001",
    ):
        assert [v.name for v in list_variables(path)] == ["W"]
    monkeypatch.chdir(stemless)
    file = open_checkpoint(".")
    assert np.array_equal(file.read("W"), counted(4, 3))
    layer = GraphLayer(f"{stemless}/", inputs="x", outputs="y")
    assert np.array_equal(layer.weights[0], counted(4, 3))


@pytest.mark.fault("F6")
def test_two_checkpoints_with_one_prefix_are_not_confused(
    stemless: Path,
) -> None:
    write(stemless, {"V": counted(2)})
    assert [v.name for v in list_variables(stemless)] == ["V"]
    with pytest.raises(ValueError, match=r"have the same prefix\. Rename"):
        list_variables(stemless / ".index")


def graph(operation: str) -> tf.compat.v1.GraphDef:
    """Returns a graph of one operation."""
    made = tf.compat.v1.GraphDef()
    made.node.add(name="x", op=operation)
    return made


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"PK\x03\x04 and so on", "keras.saving.load_model"),
        (b"    TFL3 and so on", "a LiteRT model"),
        (b"\x08\x01\x12\x00", "a SavedModel; give its folder"),
        (b'node {\n  name: "x"', "a graph as text"),
        (b"\n\x05\n\x01a\x12\x00", "something else"),
        (graph("Const").SerializeToString(), "a frozen graph.*GraphLayer"),
        (graph("VariableV2").SerializeToString(), "give the prefix"),
        (
            tf.compat.v1.MetaGraphDef(
                graph_def=graph("VariableV2")
            ).SerializeToString(),
            "a `.meta` file",
        ),
        (b"\x89HDF\r\n and so on", "load_weights"),
        (b"import tensorflow as tf\n" * 9, "something else"),
    ],
)
def test_a_foreign_file_is_an_error(
    tmp_path: Path, content: bytes, part: str
) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=part):
        list_variables(tmp_path / "file")


def test_a_checkpoint_of_tensorflow_2_objects_is_refused(
    tmp_path: Path,
) -> None:
    saved = tf.train.Checkpoint(a=tf.Variable(1.0)).write(tmp_path / "two")
    with pytest.raises(ValueError, match=r"tf\.train\.Checkpoint"):
        list_variables(saved)


def test_a_saved_model_of_tensorflow_1_is_read(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        W = v1.get_variable("W", initializer=counted(2, 3), use_resource=False)
        session.run(W.initializer)
        builder = v1.saved_model.Builder(str(tmp_path / "saved"))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    assert np.array_equal(
        open_checkpoint(tmp_path / "saved").read("W"), counted(2, 3)
    )


def test_a_saved_model_of_keras_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    tf.saved_model.save(model, str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="TensorFlow 2 objects"):
        list_variables(tmp_path / "saved")
