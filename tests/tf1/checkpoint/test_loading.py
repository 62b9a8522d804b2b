"""Row B59: a `.ckpt` in a Keras model, or a report of why not."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.tf1 import list_variables
from keras_port.tf1 import load_checkpoint
from keras_port.tf1 import save_checkpoint
from tests.tf1.sessions import arrays
from tests.tf1.sessions import counted
from tests.tf1.sessions import small_model
from tests.tf1.sessions import small_program
from tests.tf1.sessions import write

v1 = tf.compat.v1


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Returns a checkpoint of the small program, `Variable` and so on."""
    with small_program(lambda: v1.train.AdamOptimizer()) as program:
        program.train(3)
        program.save(tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.fault("B59")
def test_numbered_variables_give_equal_logits(tmp_path: Path) -> None:
    x, _ = arrays()
    with small_program(lambda: v1.train.AdamOptimizer()) as program:
        program.train(3)
        program.save(tmp_path / "m")
        expected = program.predict()
    model = small_model()
    load_checkpoint(model, tmp_path / "m")
    assert np.abs(model(x) - expected).max() <= 1e-6


@pytest.mark.fault("B59")
def test_a_wrong_shape_names_both_sides_and_changes_nothing(
    small: Path,
) -> None:
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="one")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, name="two")(x))
    model.compile("adam")
    before = model.get_weights()
    with pytest.raises(ValueError, match="is unchanged") as caught:
        load_checkpoint(model, small)
    text = str(caught.value)
    assert (
        "two/kernel (5, 4) in the model, Variable_2 (5, 3) in the file" in text
    )
    assert "two/bias (4,) in the model, Variable_3 (3,)" in text
    assert "strict=False" in text
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.fault("B59")
def test_unused_and_missing_are_listed(tmp_path: Path) -> None:
    model = build_perceptron()
    write(tmp_path / "m", {"W": counted(784, 10), "extra": counted(7)})
    with pytest.raises(
        ValueError, match=r"missing in the file: fc/bias; unused.*: extra"
    ):
        load_checkpoint(model, tmp_path / "m")
    assert not np.any(model.weights[0])
    report = load_checkpoint(
        model, tmp_path / "m", names={"fc/kernel": "W"}, strict=False
    )
    assert report.used == (("fc/kernel", "W"),)
    assert report.missing == ("fc/bias",)
    assert report.unused == ("extra",)
    assert report.incomplete == ()
    assert np.array_equal(model.weights[0], counted(784, 10))
    assert not np.any(model.weights[1])


@pytest.mark.fault("W1")
def test_an_error_shows_weights_first_and_counts_the_slots(
    small: Path,
) -> None:
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, name="one")(inputs)
    x = keras.layers.Dense(4, name="two")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="three")(x))
    with pytest.raises(ValueError, match="missing in the file") as caught:
        load_checkpoint(model, small)
    unused = str(caught.value).partition("unused in the file: ")[2]
    assert unused.startswith(
        "Variable_2 (5, 3), beta1_power (), beta2_power (), global_step (), "
        "8 slots. Map the variables"
    )


def test_unused_variables_are_no_error(tmp_path: Path) -> None:
    values = {"W": counted(784, 10), "b": counted(10), "c": counted(7)}
    write(tmp_path / "m", values)
    report = load_checkpoint(build_perceptron(), tmp_path / "m")
    assert report.unused == ("c",)
    assert report.missing == report.misshaped == ()


def test_what_fits_is_loaded_when_asked_for(tmp_path: Path) -> None:
    model = build_cnn(num_classes=12)
    names = ["Variable", *(f"Variable_{number}" for number in range(1, 8))]
    values = {
        name: counted(*weight.shape)
        for name, weight in zip(names, build_cnn().weights, strict=True)
    }
    write(tmp_path / "m", values)
    head = model.weights[6].numpy()
    report = load_checkpoint(model, tmp_path / "m", strict=False)
    assert [pair.path for pair in report.misshaped] == [
        "fc2/kernel",
        "fc2/bias",
    ]
    for weight, value in zip(model.weights[:6], values.values(), strict=False):
        assert np.array_equal(weight, value)
    assert np.array_equal(model.weights[6], head)


def test_a_report_reads_well(small: Path) -> None:
    report = load_checkpoint(small_model(), small)
    lines = str(report).splitlines()
    assert lines[0].endswith("weights matched by order, step count none")
    assert lines[1:4] == [
        "  used: 4",
        "    dense/kernel <- Variable",
        "    dense/bias <- Variable_1",
    ]
    assert "  unused in the file: 3" in lines
    assert "  unused slots in the file: 8" in lines


def test_a_compiled_model_without_slots_in_the_file_says_how_to_go_on(
    tmp_path: Path,
) -> None:
    model = build_perceptron()
    model.compile("adam")
    write(tmp_path / "m", {"W": counted(784, 10), "b": counted(10)})
    with pytest.raises(
        ValueError, match=r"adam/fc/kernel/momentum.*`include_optimizer=False`"
    ):
        load_checkpoint(model, tmp_path / "m")
    assert not np.any(model.weights[0])
    report = load_checkpoint(model, tmp_path / "m", include_optimizer=False)
    assert report.step is None
    assert np.array_equal(model.weights[0], counted(784, 10))


def test_nothing_is_assigned_before_the_last_value_is_read(
    small: Path,
) -> None:
    data = small.with_name("m.data-00000-of-00001")
    content = data.read_bytes()
    # The last in the file is a slot of the last bias and the step counts.
    data.write_bytes(content[:-40])
    model = small_model("adam")
    before = model.get_weights()
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(model, small)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_a_negative_step_is_refused(small: Path) -> None:
    with pytest.raises(ValueError, match="`step` must be an integer of 0"):
        load_checkpoint(small_model("adam"), small, step=-1)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_another_precision_is_converted(tmp_path: Path, dtype: str) -> None:
    values: dict[str, Any] = {
        "W": np.full((784, 10), 0.5, dtype),
        "b": np.ones(10, dtype),
    }
    write(tmp_path / "m", values)
    model = build_perceptron()
    load_checkpoint(model, tmp_path / "m")
    assert model.weights[0].dtype == "float32"
    assert np.all(model.weights[0].numpy() == 0.5)


def write_recurrent(path: Path, cell: str, units: int = 4) -> None:
    """Writes a recurrent cell of TensorFlow 1 and a dense layer after it."""
    gates = {"basic_lstm_cell": 4, "lstm_cell": 4, "gru_cell": 2}[cell]
    scope = f"rnn/{cell}/gates" if cell == "gru_cell" else f"rnn/{cell}"
    write(
        path,
        {
            f"{scope}/kernel": counted(3 + units, gates * units),
            f"{scope}/bias": counted(gates * units),
            "out/kernel": counted(units, 2),
            "out/bias": counted(2),
        },
    )


@pytest.mark.fault("C41")
@pytest.mark.parametrize(
    ("cell", "layer"),
    [
        ("basic_lstm_cell", keras.layers.LSTM),
        ("lstm_cell", keras.layers.LSTM),
        (
            "gru_cell",
            lambda n, name: keras.layers.GRU(n, name=name, reset_after=False),
        ),
    ],
)
@pytest.mark.parametrize("match", ["auto", "name", "shape"])
def test_a_recurrent_cell_is_never_loaded_in_part(
    cell: str, layer: Any, match: Any, tmp_path: Path
) -> None:
    write_recurrent(tmp_path / "m", cell)
    inputs = keras.Input((5, 3))
    x = layer(4, name="rnn")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="out")(x))
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"'{cell}' in the file is a recurr"):
        load_checkpoint(model, tmp_path / "m", match=match)
    report = load_checkpoint(model, tmp_path / "m", match=match, strict=False)
    after = model.get_weights()
    for old, new in zip(before[:3], after[:3], strict=True):
        assert np.array_equal(old, new)
    assert np.array_equal(after[3], counted(4, 2))
    assert {path for path, _ in report.used} == {"out/kernel", "out/bias"}
    for path, name in report.incomplete:
        assert path.startswith("rnn/")
        assert f"{path} <- {name}" in str(report)


@pytest.mark.fault("C41")
@pytest.mark.parametrize("match", ["auto", "name", "shape"])
def test_half_of_a_dense_layer_is_left_out_and_listed(
    match: Any, tmp_path: Path
) -> None:
    model = small_model()
    one, two = (layer.name for layer in model.layers[-2:])
    shapes = [weight.shape for weight in model.weights]
    names = [f"{one}/kernel", f"{one}/bias", f"{two}/kernel", f"{two}/bias"]
    values = {n: counted(*s) for n, s in zip(names, shapes, strict=True)}
    values[names[3]] = counted(9)  # Another number of classes.
    write(tmp_path / "m", values)
    before = model.get_weights()
    report = load_checkpoint(
        model,
        tmp_path / "m",
        match=match,
        strict=False,
    )
    after = model.get_weights()
    assert np.array_equal(after[1], values[names[1]])
    assert np.array_equal(after[2], before[2])
    assert np.array_equal(after[3], before[3])
    assert [name for _, name in report.incomplete] == [names[2]]
    assert "left out, because the rest of the layer does not fit: 1" in str(
        report
    )


@pytest.mark.fault("C31")
def test_a_bucket_is_refused_and_a_tilde_is_home(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in (
        lambda path: load_checkpoint(small_model(), path),
        lambda path: save_checkpoint(small_model(), path),
        list_variables,
    ):
        with pytest.raises(ValueError, match="gs:// is not one"):
            function("gs://bucket/model.ckpt")
    monkeypatch.setenv("HOME", str(small.parent))
    assert load_checkpoint(small_model(), "~/m").missing == ()
