"""Row W3: a checkpoint that the old program's own Saver restores."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import optimizers
from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_variables
from keras_port.tf1 import load_checkpoint
from keras_port.tf1 import save_checkpoint
from keras_port.tf1._files import open_checkpoint
from keras_port.tf1.checkpoint._step_count import compute_powers
from keras_port.training import GradientModel
from tests.tf1.sessions import GOLDEN
from tests.tf1.sessions import arrays
from tests.tf1.sessions import counted
from tests.tf1.sessions import restored
from tests.tf1.sessions import small_model
from tests.tf1.sessions import small_program
from tests.tf1.sessions import train
from tests.tf1.sessions import write

v1 = tf.compat.v1
# As in `test_optimizer_state.py`.
TOLERANCE = 2e-6
RATE = 0.01


def add_network(scope: str, x: Any, seed: int) -> Any:
    """Adds two layers with biases of shape (1, n); returns the output."""
    random = np.random.default_rng(seed)
    for layer, (before, size) in {"l1": (6, 5), "l2": (5, 3)}.items():
        with v1.variable_scope(f"{scope}/{layer}"):
            W = v1.get_variable(
                "w",
                initializer=random.normal(size=(before, size)).astype("float32")
                / 2,
                use_resource=False,
            )
            b = v1.get_variable(
                "b", initializer=tf.zeros((1, size)) + 0.1, use_resource=False
            )
        x = tf.matmul(x, W) + b
        x = tf.tanh(x) if layer == "l1" else x
    return x


def add_variable(name: str, value: Any, dtype: Any) -> None:
    """Adds a variable of the program that is no weight."""
    v1.get_variable(
        name,
        initializer=lambda: tf.constant(value, dtype),
        dtype=dtype,
        trainable=False,
        use_resource=False,
    )


@contextlib.contextmanager
def two_networks(*, optimizers: int = 1) -> Iterator[Any]:
    """Yields a session of two networks, and how to train the first.

    With two optimizers, the other one has made one update more.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 6], name="x")
        y = v1.placeholder(tf.float32, [None, 3], name="y")
        losses = {
            scope: tf.reduce_mean(
                tf.square(add_network(scope, x, seed) - y), name=f"{scope}_loss"
            )
            for seed, scope in enumerate(("eval_net", "target_net"))
        }
        step = v1.train.get_or_create_global_step()
        names = ("eval_net", "target_net")[:optimizers]
        with v1.variable_scope("train"):
            trainers = [
                v1.train.AdamOptimizer(RATE).minimize(
                    losses[scope],
                    global_step=step if scope == "eval_net" else None,
                    var_list=v1.get_collection("variables", scope),
                    name=f"{scope}_update",
                )
                for scope in names
            ]
        add_variable("is_training", True, tf.bool)
        add_variable("counters/epoch", 7, tf.int32)
        add_variable("note", b"made by hand", tf.string)
        session.run(v1.global_variables_initializer())
        feed = dict(zip((x, y), arrays(), strict=True))
        for trainer in trainers[1:]:
            session.run(trainer, feed)
        for trainer in trainers * 3:
            session.run(trainer, feed)
        yield session


def save(session: Any, prefix: Path) -> dict[str, np.ndarray]:
    """Saves all variables; returns their values."""
    v1.train.Saver().save(session, str(prefix))
    return read(prefix)


def read(prefix: Path) -> dict[str, np.ndarray]:
    """Returns all values of a checkpoint."""
    file = open_checkpoint(prefix)
    return {name: file.read(name) for name in file.shapes}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Checks that two checkpoints are the same to the last bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype, name
        assert value.shape == other[name].shape, name
        if value.dtype == object:
            assert value == other[name], name
        else:
            assert value.tobytes() == other[name].tobytes(), name


@pytest.fixture(params=["with the graph", "without"])
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Returns the prefix of the old program's checkpoint."""
    with two_networks() as session:
        save(session, tmp_path / "old" / "m")
    if request.param == "without":
        (tmp_path / "old" / "m.meta").unlink()
    return tmp_path / "old" / "m"


@pytest.mark.fault("W3")
def test_what_is_loaded_and_saved_is_the_same(
    tmp_path: Path, old: Path
) -> None:
    model = small_model(optimizers.Adam(RATE))
    report = load_checkpoint(model, old, scope="eval_net")
    assert report.step == 3
    export = save_checkpoint(
        model, tmp_path / "new" / "m", like=old, scope="eval_net"
    )
    assert_same(read(old), read(tmp_path / "new" / "m"))
    assert export.step == 3
    kept = {
        "is_training",
        "counters/epoch",
        "note",
        "global_step",
        "train/beta1_power",
        "train/beta2_power",
        *(f"target_net/{a}/{b}" for a in ("l1", "l2") for b in "wb"),
    }
    assert set(export.kept) == kept
    written = {name for _, name in export.variables}
    assert written == read(old).keys() - kept
    has_graph = old.with_name("m.meta").exists()
    assert (tmp_path / "new" / "m.meta").exists() == has_graph
    assert "  kept from the old checkpoint: 10\n" in str(export)


@pytest.mark.fault("W3")
def test_the_old_saver_restores_and_the_training_goes_on(
    tmp_path: Path,
) -> None:
    with two_networks() as session:
        before = save(session, tmp_path / "old" / "m")
    model = small_model(optimizers.Adam(RATE))
    load_checkpoint(model, tmp_path / "old", scope="eval_net")
    train(model, 4)
    save_checkpoint(
        model, tmp_path / "new" / "m", like=tmp_path / "old", scope="eval_net"
    )
    after = read(tmp_path / "new" / "m")
    for key, beta in (("beta1", 0.9), ("beta2", 0.999)):
        power = after.pop(f"train/{key}_power")
        assert power == compute_powers(beta, 8)[-1]
        before.pop(f"train/{key}_power")
    assert after.pop("global_step") == before.pop("global_step") + 4 == 7
    weights = {
        f"eval_net/{layer}/{leaf}": weight.numpy()
        for (layer, leaf), weight in zip(
            [("l1", "w"), ("l1", "b"), ("l2", "w"), ("l2", "b")],
            model.weights,
            strict=True,
        )
    }
    for name, value in weights.items():
        assert after[name].shape == before[name].shape
        assert np.array_equal(after[name].reshape(value.shape), value)
        assert not np.array_equal(after[name], before[name])
    changed = {
        name
        for name in after
        if after[name].dtype != object
        and after[name].tobytes() != before[name].tobytes()
    }
    slots = {f"train/{n}/Adam{e}" for n in weights for e in ("", "_1")}
    assert changed == {*weights, *slots}
    expected = train(model, 6)
    # The graph of the old program, in its own files and in the new ones.
    for folder in ("old", "new"):
        with tf.Graph().as_default(), v1.Session() as session:
            meta = str(tmp_path / folder / "m.meta")
            saver = v1.train.import_meta_graph(meta)
            newest = tf.train.latest_checkpoint(str(tmp_path / "new"))
            saver.restore(session, newest)
            feed = dict(zip(("x:0", "y:0"), arrays(), strict=True))
            fetches = ["eval_net_loss:0", "train/eval_net_update"]
            losses = [session.run(fetches, feed)[0] for _ in range(6)]
            assert session.run("is_training:0")
        assert np.abs(np.subtract(losses, expected)).max() <= TOLERANCE


@pytest.mark.fault("W4")
def test_a_graph_layer_goes_back_by_the_names_of_its_graph(
    tmp_path: Path,
) -> None:
    # Only the names tell these apart, and a flag is among them.
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        W, V, flag = (
            v1.get_variable(name, initializer=value, use_resource=False)
            for name, value in {
                "z/W": counted(3, 3),
                "a/W": counted(3, 3, start=9),
                "flag": np.bool_(True),
            }.items()
        )
        y = tf.matmul(tf.matmul(x, W), V)
        tf.where(flag, y, -y, name="y")
        session.run(v1.global_variables_initializer())
        before = save(session, tmp_path / "old" / "m")
    layer = GraphLayer(tmp_path / "old", inputs="x", outputs="y")
    model = layer.to_model()
    report = load_checkpoint(model, tmp_path / "old")
    assert report.matched_by == "name"
    save_checkpoint(model, tmp_path / "new" / "m", like=tmp_path / "old")
    assert_same(before, read(tmp_path / "new" / "m"))
    next(w for w in layer.weights if w.path.endswith("z/W")).assign(
        counted(3, 3, start=50)
    )
    save_checkpoint(model, tmp_path / "new" / "m", like=tmp_path / "old")
    before["z/W"] = counted(3, 3, start=50)
    assert_same(before, read(tmp_path / "new" / "m"))


@pytest.mark.fault("W3")
def test_only_the_powers_of_the_model_s_own_optimizer_move(
    tmp_path: Path,
) -> None:
    with two_networks(optimizers=2) as session:
        before = save(session, tmp_path / "old" / "m")
    steps = {
        v.name for v in list_variables(tmp_path / "old") if v.kind == "step"
    }
    assert len(steps) == 5
    model = small_model(optimizers.Adam(RATE))
    # The other optimizer has made 4 updates.
    report = load_checkpoint(model, tmp_path / "old", scope="eval_net")
    assert report.step == 3
    train(model, 2)
    options = {"like": tmp_path / "old", "scope": "eval_net"}
    save_checkpoint(model, tmp_path / "new" / "m", **options)
    after = read(tmp_path / "new" / "m")
    assert {n for n in steps if after[n] != before[n]} == {
        "train/beta1_power",
        "train/beta2_power",
        "global_step",
    }
    (tmp_path / "old" / "m.meta").unlink()
    with pytest.raises(ValueError, match="several beta1_power"):
        save_checkpoint(model, tmp_path / "new" / "m", **options)


@pytest.mark.fault("W3")
def test_equal_powers_of_two_optimizers_are_not_both_moved(
    tmp_path: Path,
) -> None:
    values = {
        "W": counted(4, 3),
        "b": counted(3),
        **{f"W/Adam{end}": counted(4, 3) for end in ("", "_1")},
        **{f"b/Adam{end}": counted(3) for end in ("", "_1")},
        "beta1_power": np.float32(0.9),
        "beta2_power": np.float32(0.999),
        "beta1_power_1": np.float32(0.9),
        "beta2_power_1": np.float32(0.999),
    }
    old = write(tmp_path / "old" / "m", values)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(optimizers.Adam(RATE))
    assert load_checkpoint(model, old).step == 0
    save_checkpoint(model, tmp_path / "new", like=old)
    assert_same(read(old), read(tmp_path / "new"))
    model.optimizer.iterations.assign(2)
    match = "several beta1_power, beta1_power, beta1_power_1, and.*`.meta`"
    with pytest.raises(ValueError, match=match):
        save_checkpoint(model, tmp_path / "new", like=old)
    export = save_checkpoint(
        model, tmp_path / "new", like=old, include_optimizer=False
    )
    assert export.step is None
    assert_same(read(old), read(tmp_path / "new"))


@pytest.mark.fault("W3")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            lambda: v1.train.MomentumOptimizer(0.03, 0.9),
            lambda: keras.optimizers.SGD(0.03, momentum=0.9),
        ),
        (
            lambda: v1.train.RMSPropOptimizer(0.01, 0.9),
            lambda: keras.optimizers.RMSprop(0.01),
        ),
        (
            lambda: v1.train.GradientDescentOptimizer(0.1),
            lambda: keras.optimizers.SGD(0.1),
        ),
    ],
)
def test_other_optimizers_go_back_unchanged(
    tmp_path: Path, theirs: Callable[[], Any], ours: Callable[[], Any]
) -> None:
    with small_program(theirs) as program:
        program.train(5)
        old = program.save(tmp_path / "old" / "m")
        model = small_model(ours())
        load_checkpoint(model, old)
        save_checkpoint(model, tmp_path / "same" / "m", like=old)
        assert_same(read(old), read(tmp_path / "same" / "m"))
        train(model, 3)
        save_checkpoint(model, tmp_path / "new" / "m", like=old)
        assert read(tmp_path / "new" / "m")["global_step"] == 8
        program.restore(tmp_path / "new" / "m")
        losses = program.train(4)
    assert np.abs(np.subtract(losses, train(model, 4))).max() <= TOLERANCE


@pytest.mark.fault("W3")
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_another_precision_goes_back_unchanged(
    tmp_path: Path, dtype: str
) -> None:
    random = np.random.default_rng(3).normal(size=(4, 3))
    values = {"W": tf.cast(random, dtype), "b": tf.cast(random[0], dtype)}
    old = write(tmp_path / "old" / "m", values)
    inputs = keras.Input((4,))
    model = GradientModel(inputs, keras.layers.Dense(3)(inputs))
    load_checkpoint(model, old)
    save_checkpoint(model, tmp_path / "new" / "m", like=old)
    assert_same(read(old), read(tmp_path / "new" / "m"))
    model.weights[1].assign([1.0, 2.0, 3.0])
    save_checkpoint(model, tmp_path / "new" / "m", like=old)
    after = read(tmp_path / "new" / "m")
    assert after["b"].tolist() == [1, 2, 3]
    assert after["b"].dtype == tf.as_dtype(dtype).as_numpy_dtype
    assert after["W"].tobytes() == read(old)["W"].tobytes()


@pytest.mark.fault("W3")
def test_a_partitioned_variable_goes_back_to_its_parts(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable(
            "fc/weights",
            (4, 3),
            partitioner=v1.fixed_size_partitioner(2),
            use_resource=False,
        )
        v1.get_variable("fc/b", initializer=counted(3), use_resource=False)
        session.run(v1.global_variables_initializer())
        save(session, tmp_path / "old")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="fc")]
    )
    model.weights[0].assign(counted(4, 3, start=50))
    save_checkpoint(model, tmp_path / "new", like=tmp_path / "old")
    with restored(tmp_path / "new") as session:
        parts = [session.run(f"fc/weights/part_{n}:0") for n in (0, 1)]
        bias = session.run("fc/b:0")
    assert [part.shape for part in parts] == [(2, 3), (2, 3)]
    assert np.array_equal(np.concatenate(parts), counted(4, 3, start=50))
    assert not np.any(bias)


@pytest.mark.fault("W3")
@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_the_old_graph_is_copied_or_removed(
    tmp_path: Path, version: str
) -> None:
    inputs = keras.Input((784,))
    model = keras.Model(inputs, keras.layers.Dense(10, name="fc")(inputs))
    save_checkpoint(model, tmp_path / "m")
    assert (tmp_path / "m.meta").exists()
    old = GOLDEN / version
    load_checkpoint(model, old)
    for _ in range(2):
        save_checkpoint(model, tmp_path / "m", like=old, include_graph=False)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "checkpoint",
            "m.data-00000-of-00001",
            "m.index",
        ]
        assert_same(read(old), read(tmp_path))
        # The old one may be the new one.
        old = tmp_path


@pytest.mark.fault("W3")
def test_the_list_names_the_files_in_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("old/m"), {"W": counted(4, 3), "b": counted(3)})
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    save_checkpoint(model, "new/m", like="old")
    assert tf.train.latest_checkpoint("new") == "new/m"


@pytest.mark.fault("W3")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"names": "letters"}, "`names` must be a dictionary.*'letters'"),
        ({"names": {"fc/kernel": "c"}}, "the name 'c', which is not in the f"),
        (
            {"names": {"fc/kernel": "W"}},
            "missing in the file: fc/bias.*Nothing",
        ),
        ({"scope": "net"}, "`scope` must be a scope of"),
        ({"like": None, "scope": "net"}, "`scope` is a scope in the check"),
        ({"like": "gs://m"}, "`like` must be a path on this machine"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_saved(
    tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    old = write(tmp_path / "old" / "m", {"W": counted(4, 3), "o": counted(2)})
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, name="fc")(inputs))
    with pytest.raises(ValueError, match=match):
        save_checkpoint(model, tmp_path / "new", **{"like": old, **options})
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
