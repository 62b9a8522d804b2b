"""Row B60: files that a TensorFlow 1 session imports, restores, predicts by."""

from collections.abc import Callable
from collections.abc import Iterator
import os
from pathlib import Path
import resource
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import optimizers
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_variables
from keras_port.tf1 import load_checkpoint
from keras_port.tf1 import save_checkpoint
from tests.tf1.sessions import restored
from tests.tf1.sessions import small_model
from tests.tf1.sessions import train

v1 = tf.compat.v1
# The same operations on the same weights, but not always the same kernels.
TOLERANCE = 1e-6
FILES = [
    "checkpoint",
    "m.data-00000-of-00001",
    "m.index",
    "m.meta",
]


def files(folder: Path) -> list[str]:
    """Returns the names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def random_weights(model: keras.Model) -> keras.Model:
    """Gives a model weights that are not its initial ones."""
    random = np.random.default_rng(3)
    model.set_weights(
        [
            random.uniform(0.01, 0.2, value.shape).astype(value.dtype)
            for value in model.get_weights()
        ]
    )
    return model


@pytest.mark.fault("B60")
@pytest.mark.parametrize("build", [build_perceptron, build_cnn])
def test_the_course_s_models_predict_the_same_in_a_session(
    tmp_path: Path, build: Callable[[], keras.Model]
) -> None:
    model = build()
    if build is build_perceptron:
        random_weights(model)
    export = save_checkpoint(model, tmp_path / "m")
    assert files(tmp_path) == FILES
    images = np.random.default_rng(1).random((5, 784), "float32")
    expected = model(images).numpy()
    with restored(tmp_path / "m") as session:
        found = session.run("output:0", {"images:0": images})
        first = session.run(f"{export.variables[0][1]}:0")
    assert np.abs(found - expected).max() <= TOLERANCE
    assert np.array_equal(first, model.weights[0].numpy())
    assert (export.inputs, export.outputs) == (("images:0",), ("output:0",))


PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
v1 = tf.compat.v1
v1.disable_eager_execution()
folder = sys.argv[1]
prefix = tf.train.latest_checkpoint(folder)
saver = v1.train.import_meta_graph(prefix + ".meta")
with v1.Session() as session:
    saver.restore(session, prefix)
    images = np.load("images.npy")
    outputs = session.run("output:0", {"images:0": images})
    np.save("outputs.npy", outputs)
    assert [v.op.name for v in v1.trainable_variables()] == ["W", "b"]
assert "keras_port" not in sys.modules
"""


@pytest.mark.fault("B60")
def test_another_process_without_this_package_predicts_from_a_moved_folder(
    tmp_path: Path,
) -> None:
    model = random_weights(build_perceptron())
    model.compile(optimizers.Adam(0.1))
    save_checkpoint(model, tmp_path / "here" / "m")
    (tmp_path / "here").rename(tmp_path / "there")
    images = np.random.default_rng(1).random((5, 784), "float32")
    np.save(tmp_path / "images.npy", images)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "there"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs = np.load(tmp_path / "outputs.npy")
    assert np.abs(outputs - model(images).numpy()).max() <= TOLERANCE


def several() -> keras.Model:
    """Returns a model of two inputs, two outputs and a shared layer."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = keras.layers.Dense(3, name="shared")
    total = keras.layers.Add()([shared(a), shared(b)])
    return keras.Model({"a": a, "b": b}, [total, keras.layers.Dense(2)(total)])


def one_in_a_dictionary() -> keras.Model:
    """Returns a model whose only input has a name to be given."""
    a = keras.Input((4,), name="a")
    return keras.Model({"a": a}, {"out": keras.layers.Dense(2)(a)})


def sequential() -> keras.Model:
    """Returns batch normalisation, dropout and a nested model."""
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            inner,
        ]
    )


def recurrent() -> keras.Model:
    """Returns an embedding and a loop."""
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(7, 4)(inputs)
    return keras.Model(inputs, keras.layers.LSTM(3)(x))


@pytest.mark.fault("B60")
@pytest.mark.parametrize(
    "build", [several, one_in_a_dictionary, sequential, recurrent]
)
def test_other_models_predict_the_same(
    tmp_path: Path, build: Callable[[], keras.Model]
) -> None:
    model = random_weights(build())
    random = np.random.default_rng(2)
    values = [
        random.integers(0, 7, (8, *tensor.shape[1:])).astype(tensor.dtype)
        for tensor in model.inputs
    ]
    export = save_checkpoint(model, tmp_path / "m")
    inputs = (
        values[0]
        if isinstance(model, keras.Sequential)
        else keras.tree.pack_sequence_as(model.input, values)
    )
    expected = keras.tree.flatten(model(inputs, training=False))
    with restored(tmp_path / "m") as session:
        found = session.run(
            list(export.outputs), dict(zip(export.inputs, values, strict=True))
        )
    for one, two in zip(found, expected, strict=True):
        assert np.abs(one - two.numpy()).max() <= TOLERANCE
    other = build()
    load_checkpoint(other, tmp_path / "m")
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(one, two)


def test_the_graph_file_has_a_signature_and_initial_values(
    tmp_path: Path,
) -> None:
    save_checkpoint(build_perceptron(), tmp_path / "m")
    meta = v1.MetaGraphDef.FromString((tmp_path / "m.meta").read_bytes())
    signature = meta.signature_def["serving_default"]
    assert signature.inputs["images"].name == "images:0"
    assert signature.outputs["output"].name == "output:0"
    # The values are in the `.data` file alone.
    assert (tmp_path / "m.meta").stat().st_size < 20_000
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(str(tmp_path / "m.meta"))
        session.run(v1.global_variables_initializer())
        assert not np.any(session.run("W:0"))


def test_the_graph_file_has_only_operations_of_early_releases(
    tmp_path: Path,
) -> None:
    enabled = v1.control_flow_v2_enabled()
    save_checkpoint(build_cnn(), tmp_path / "m")
    assert v1.control_flow_v2_enabled() == enabled
    meta = v1.MetaGraphDef.FromString((tmp_path / "m.meta").read_bytes())
    # `If` and `While` call functions; resources came with TensorFlow 1.4.
    assert not meta.graph_def.library.function
    operations = {node.op for node in meta.graph_def.node}
    assert {"VariableV2", "Conv2D", "Switch"} <= operations
    assert not operations & {"If", "While", "VarHandleOp", "ReadVariableOp"}


def test_pixels_that_nobody_scaled_are_refused_in_a_session_too(
    tmp_path: Path,
) -> None:
    save_checkpoint(build_perceptron(), tmp_path / "m")
    images = np.full((1, 784), 255, "float32")
    with (
        restored(tmp_path / "m") as session,
        pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 1"),
    ):
        session.run("output:0", {"images:0": images})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["W", "b"]),
        ("letters", ["W", "b"]),
        ("numbered", ["Variable", "Variable_1"]),
        ("scoped", ["fc/weight", "fc/bias"]),
        ("keras", ["fc/kernel", "fc/bias"]),
        ({"fc/kernel": "p", "fc/bias": "q/r"}, ["p", "q/r"]),
        (lambda path: f"net/{path}", ["net/fc/kernel", "net/fc/bias"]),
    ],
)
def test_names_are_those_asked_for(
    tmp_path: Path, names: Any, expected: list[str]
) -> None:
    save_checkpoint(
        build_perceptron(), tmp_path / "m", names=names, include_graph=False
    )
    assert [v.name for v in list_variables(tmp_path)] == sorted(expected)


def layers_like_the_cnn(**names: str) -> keras.Model:
    """Returns layers with the ranks of the course's CNN."""
    inputs = x = keras.Input((8, 8, 1))
    for name, layer in (
        ("conv1", keras.layers.Conv2D(2, 3, name=names.get("conv1"))),
        ("conv2", keras.layers.Conv2D(2, 3, name=names.get("conv2"))),
        ("fc1", keras.layers.Dense(4, name=names.get("fc1"))),
        ("fc2", keras.layers.Dense(3, name=names.get("fc2"))),
    ):
        x = layer(keras.layers.Flatten()(x) if name == "fc1" else x)
    return keras.Model(inputs, x)


@pytest.mark.fault("W4")
@pytest.mark.parametrize(
    "names", [{"conv1": "in", "conv2": "mid", "fc1": "wide", "fc2": "out"}, {}]
)
def test_a_cnn_with_other_layer_names_keeps_them(
    tmp_path: Path, names: dict[str, str]
) -> None:
    model = layers_like_the_cnn(**names)
    save_checkpoint(model, tmp_path / "m", include_graph=False)
    layers = names.values() or ("conv2d", "conv2d_1", "dense", "dense_1")
    assert {v.name for v in list_variables(tmp_path)} == {
        f"{layer}/{leaf}" for layer in layers for leaf in ("kernel", "bias")
    }


@pytest.mark.fault("W4")
def test_a_graph_layer_keeps_the_names_of_its_graph(tmp_path: Path) -> None:
    old = random_weights(layers_like_the_cnn(conv1="net", fc2="net_1"))
    names = {w.path: f"scope/{w.path}" for w in old.weights}
    export = save_checkpoint(old, tmp_path / "old", names=names)
    layer = GraphLayer(
        tmp_path / "old",
        inputs=export.inputs[0],
        outputs="output",
        name="scope",
    )
    inputs = keras.Input((8, 8, 1))
    head = keras.layers.Dense(2, name="head")
    model = keras.Model(inputs, head(layer(inputs)))
    model.compile(optimizers.Adam(0.1))
    save_checkpoint(model, tmp_path / "new")
    new = {v.name for v in list_variables(tmp_path / "new")}
    expected = {*names.values(), "head/kernel", "head/bias"}
    slots = {f"{n}/{s}" for n in expected for s in ("Adam", "Adam_1")}
    powers = {"beta1_power", "beta2_power", "global_step"}
    assert new == expected | slots | powers
    twice = keras.Sequential([inputs, layer, tiny_graph_layer(tmp_path)])
    export = save_checkpoint(twice, tmp_path / "two", include_graph=False)
    assert ("second/W", "second/W") in export.variables


def tiny_graph_layer(folder: Path) -> GraphLayer:
    """Returns a layer `second` of one matrix `W`."""
    dense = keras.layers.Dense(2, use_bias=False, name="fc")
    model = keras.Sequential([keras.Input((3,), name="x"), dense])
    save_checkpoint(model, folder / "tiny", names=lambda _: "W")
    return GraphLayer(
        folder / "tiny", inputs="x", outputs="output", name="second"
    )


def test_names_of_the_second_model_begin_anew(tmp_path: Path) -> None:
    small_model()
    model = small_model()
    assert model.weights[0].path == "dense_2/kernel"
    export = save_checkpoint(model, tmp_path / "m")
    assert export.variables[0] == ("dense_2/kernel", "dense/kernel")


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ("words", "`names` must be one of.*numbered.*'words'"),
        ("letters", "would both get the name 'W'"),
        ({"dense/kernel": "a"}, "gives no name to dense/bias, dense_1/kernel"),
        ({"fc/kernel": "a"}, "the path 'fc/kernel'.*dense/kernel"),
        (
            lambda path: "_" + path,
            "not accept the variable name '_dense",
        ),
        (lambda path: path.replace("dense/bias", "global_step"), "calls a wei"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    tmp_path: Path, names: Any, part: str
) -> None:
    model = small_model("sgd")
    with pytest.raises(ValueError, match=part):
        save_checkpoint(model, tmp_path / "m", names=names)
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["", "checkpoint", "m.index", "m.meta"])
def test_a_path_that_is_no_prefix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="`path` must be a prefix"):
        save_checkpoint(build_perceptron(), tmp_path / name)


class Subclassed(keras.Model):
    """A model that does not say what its inputs are."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = keras.layers.Dense(3, name="fc")

    def call(self, inputs: Any) -> Any:
        return self.fc(inputs)


class Python(keras.layers.Layer):
    """A layer that calls back into Python."""

    def call(self, inputs: Any) -> Any:
        return tf.numpy_function(np.sin, [inputs], tf.float32)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Eager(Python):
    """A layer that cannot work on symbols."""

    def call(self, inputs: Any) -> Any:
        return tf.constant(inputs.numpy())


def with_layer(layer: keras.layers.Layer) -> keras.Model:
    """Returns a model that has this layer."""
    inputs = keras.Input((4,))
    return keras.Model(inputs, layer(keras.layers.Dense(3)(inputs)))


def built() -> keras.Model:
    """Returns a subclassed model with its weights."""
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    return model


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (built, "does not define its inputs"),
        (lambda: with_layer(Python()), "calls a Python function"),
        (lambda: with_layer(Eager()), "cannot be computed in a TensorFlow 1"),
    ],
)
def test_what_a_graph_cannot_hold_is_written_without_it(
    tmp_path: Path, build: Callable[[], keras.Model], part: str
) -> None:
    model = build()
    with pytest.raises(ValueError, match=f"{part}.*`include_graph=False`"):
        save_checkpoint(model, tmp_path / "m")
    assert files(tmp_path) == []
    export = save_checkpoint(model, tmp_path / "m", include_graph=False)
    assert export.inputs == export.outputs == ()
    with restored(tmp_path / "m") as session:
        value = session.run(f"{export.variables[0][1]}:0")
    assert np.array_equal(value, model.weights[0].numpy())


def test_saving_again_replaces_all_files(tmp_path: Path) -> None:
    model = build_perceptron()
    save_checkpoint(model, tmp_path / "m", names="numbered")
    random_weights(model)
    save_checkpoint(model, tmp_path / "m")
    assert files(tmp_path) == FILES
    other = build_perceptron()
    load_checkpoint(other, tmp_path / "m")
    assert np.array_equal(model.weights[0], other.weights[0])


@pytest.fixture
def full_disk() -> Iterator[Callable[[], None]]:
    """Yields what lets no file grow over 8 kB any more, until the test ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_files_before(
    tmp_path: Path, full_disk: Callable[[], None]
) -> None:
    model = build_perceptron()
    save_checkpoint(model, tmp_path / "m")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    random_weights(model)
    full_disk()
    with pytest.raises(OSError, match="m could not be written: File too large"):
        save_checkpoint(model, tmp_path / "m")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_kill_between_the_files_never_gives_a_mixture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = build_perceptron(), random_weights(build_perceptron())
    replace = os.replace
    for survived in range(5):
        folder = tmp_path / str(survived)
        save_checkpoint(old, folder / "m")
        left = iter([True] * survived)

        def killed(source: Any, target: Any, left: Any = left) -> None:
            if not next(left, False):
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", killed)
        if survived == 4:
            save_checkpoint(new, folder / "m")
        else:
            with pytest.raises(KeyboardInterrupt):
                save_checkpoint(new, folder / "m")
        monkeypatch.undo()
        assert files(folder) == FILES
        model = build_perceptron()
        if survived in (1, 2):
            # New data under the old index: the checksums tell.
            with pytest.raises(ValueError, match="two different saves"):
                load_checkpoint(model, folder)
            continue
        load_checkpoint(model, folder)
        expected = new if survived >= 3 else old
        assert np.array_equal(model.weights[0], expected.weights[0])


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (tmp_path / f".partial-{gone}-m").mkdir()
    (tmp_path / f".partial-{gone}-m" / "m.index").write_bytes(b"half")
    (tmp_path / f".partial-{gone}-other").mkdir()
    save_checkpoint(build_perceptron(), tmp_path / "m", include_graph=False)
    assert files(tmp_path) == [f".partial-{gone}-other", *FILES]


def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(OSError, match="/proc/keras_port cannot be written to"):
        save_checkpoint(build_perceptron(), "/proc/keras_port/m")


def test_saving_changes_nothing_in_the_model(tmp_path: Path) -> None:
    model, twin = (small_model(optimizers.Adam(0.01)) for _ in "ab")
    twin.set_weights(model.get_weights())
    train(model, 3)
    train(twin, 3)
    save_checkpoint(model, tmp_path / "m")
    assert train(model, 5) == train(twin, 5)


def test_half_precision_policies_predict_in_the_same_precision(
    tmp_path: Path,
) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build_perceptron()
    rng = np.random.default_rng(1)
    images = rng.integers(0, 2, (5, 784)).astype("float32")
    # Sums of 1, 0 and -1 that 8 bits hold: no order of the sum rounds, fused
    # with the bias as some processors have it or not.
    kernel = rng.choice([-1.0, 0.0, 1.0], (784, 10), p=[0.03, 0.94, 0.03])
    # bfloat16 does not see the rest of it, float32 would.
    model.set_weights([kernel * (1 + 2**-11), np.arange(10) / 4])
    save_checkpoint(model, tmp_path / "m")
    expected = model(images).numpy()
    in_float32 = tf.nn.softmax(images @ model.weights[0] + model.weights[1])
    assert np.abs(in_float32 - expected).max() > 1e-4
    with restored(tmp_path / "m") as session:
        found = session.run("output:0", {"images:0": images})
    assert np.abs(found - expected).max() <= TOLERANCE
