"""Saving the better model, whatever happens around it."""

import errno
import hashlib
import math
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import keras
import pytest

from keras_port.callbacks import StepCheckpoint
from keras_port.callbacks import StepEvaluation
from keras_port.checkpoints import read_record
from tests.callbacks.scripted import ScriptedEvaluation
from tests.callbacks.scripted import WeightsAt
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train


def save(
    path: Path, values: list[float], *, steps: int = 40, **options: Any
) -> StepCheckpoint:
    """Trains with these evaluations, one each 2 steps."""
    checkpoint = StepCheckpoint(path, **options)
    script = ScriptedEvaluation(values, eval_freq=2, monitor=checkpoint.monitor)
    train(small_model(), [script, checkpoint], steps=steps)
    return checkpoint


def files(folder: Path) -> list[str]:
    """Returns the names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.fault("B14")
def test_a_file_at_each_improvement_and_none_otherwise(tmp_path: Path) -> None:
    save(tmp_path / "m-{step:03d}.keras", [0.5, 0.4, 0.5, 0.6, 0.6, 0.7])
    assert files(tmp_path) == ["m-002.keras", "m-008.keras", "m-012.keras"]


@pytest.mark.fault("B14")
@pytest.mark.parametrize("name", ["best.keras", "best.weights.h5"])
def test_one_file_holds_the_best(tmp_path: Path, name: str) -> None:
    checkpoint = StepCheckpoint(tmp_path / name)
    weights = WeightsAt(4)
    script = ScriptedEvaluation([0.5, 0.8, 0.7], eval_freq=2)
    train(small_model(), [checkpoint, script, weights], steps=6)
    model = small_model()
    model.load_weights(tmp_path / name)
    assert same_weights(model.get_weights(), weights.weights[4])
    record = read_record(tmp_path / name)
    assert record is not None
    assert (record.monitor, record.value, record.step) == (
        "val_accuracy",
        0.8,
        4,
    )
    assert (checkpoint.best, checkpoint.best_path) == (0.8, tmp_path / name)
    assert files(tmp_path) == [name]


def test_a_real_evaluation_is_saved_and_loads_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    model = small_model()
    evaluation = StepEvaluation(small_arrays(), eval_freq=20)
    history = train(model, [StepCheckpoint(path), evaluation], steps=100)
    loaded = keras.saving.load_model(path)
    record = read_record(path)
    assert record is not None
    assert record.value == max(history.history["val_accuracy"])
    results = loaded.evaluate(*small_arrays(), verbose=0, return_dict=True)
    assert results["accuracy"] == pytest.approx(record.value)
    assert int(loaded.optimizer.iterations) == record.step


@pytest.mark.fault("B03")
def test_no_file_of_a_nan(tmp_path: Path) -> None:
    path = tmp_path / "m-{step}.keras"
    save(path, [math.nan, 0.5, 0.4, math.nan, 0.3], monitor="val_loss")
    assert files(tmp_path) == ["m-10.keras", "m-4.keras", "m-6.keras"]


RESTART = """
import os, signal, sys
from tests.callbacks.scripted import *
from tests.small import *
from keras_port.callbacks import StepCheckpoint

class Kill(StopAt):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) >= self.step:
            os.kill(os.getpid(), signal.SIGKILL)

train(
    small_model(),
    [
        ScriptedEvaluation([0.9, 0.97, 0.95], eval_freq=2),
        StepCheckpoint(sys.argv[1]),
        Kill(7),
    ],
    steps=20,
)
"""


@pytest.mark.fault("B13")
def test_a_restart_never_overwrites_a_better_file(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    killed = subprocess.run(
        [sys.executable, "-c", RESTART, path],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    checkpoint = save(path, [0.90, 0.96])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert checkpoint.best == 0.97
    save(path, [0.98])
    record = read_record(path)
    assert record is not None
    assert record.value == 0.98


def test_overwrite_forgets_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "best.keras"
    save(path, [0.9])
    save(path, [0.5], overwrite=True)
    record = read_record(path)
    assert record is not None
    assert record.value == 0.5


@pytest.mark.fault("B25")
def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    save(
        tmp_path / "m-{step:02d}.keras",
        [0.1, 0.2, 0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],
        save_best_only=False,
        max_to_keep=3,
    )
    assert files(tmp_path) == [
        "m-06.keras",
        "m-16.keras",
        "m-18.keras",
        "m-20.keras",
    ]


@pytest.mark.fault("B25")
def test_rotation_goes_on_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "m-{val_accuracy:.2f}.keras"
    save(path, [0.1, 0.2, 0.3], max_to_keep=2)
    assert files(tmp_path) == ["m-0.20.keras", "m-0.30.keras"]
    save(path, [0.25, 0.4], max_to_keep=2)
    assert files(tmp_path) == ["m-0.30.keras", "m-0.40.keras"]


@pytest.mark.fault("B24")
def test_a_folder_that_cannot_be_written_is_an_error_before_training() -> None:
    model = small_model()
    callbacks = [
        ScriptedEvaluation([0.5], eval_freq=2),
        StepCheckpoint("/proc/keras_port/model.keras"),
    ]
    with pytest.raises(OSError, match=r"/proc/keras_port cannot be written to"):
        train(model, callbacks, steps=4)
    assert int(model.optimizer.iterations) == 0


FULL_DISK = """
import resource, sys
from tests.callbacks.scripted import *
from tests.small import *
from keras_port.callbacks import StepCheckpoint

class Fill(StopAt):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            # From here on a file cannot grow over 8 kB, as on a full disk.
            resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

try:
    train(
        small_model(),
        [
            ScriptedEvaluation([0.5, 0.9], eval_freq=2),
            StepCheckpoint(sys.argv[1]),
            Fill(3),
        ],
        steps=20,
    )
except OSError as error:
    sys.exit(f"OSError: {error}")
"""


@pytest.mark.fault("B24")
@pytest.mark.parametrize("name", ["best.keras", "best.weights.h5"])
def test_a_full_disk_is_an_error_and_the_last_best_is_whole(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1, ended.stderr
    assert f"OSError: Step 4: {path} could not be saved" in ended.stderr
    assert files(tmp_path) == [name]
    record = read_record(path)
    assert record is not None
    assert record.value == 0.5
    small_model().load_weights(path)


@pytest.mark.fault("B18")
def test_what_a_killed_save_left_is_removed(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (tmp_path / f".partial-{gone}-m-007.keras").write_bytes(b"half a file")
    living = tmp_path / f".partial-{os.getppid()}-m-008.keras"
    living.write_bytes(b"being written")
    other = tmp_path / f".partial-{gone}-other.keras"
    other.write_bytes(b"not ours")
    save(tmp_path / "m-{step:03d}.keras", [])
    assert files(tmp_path) == sorted([living.name, other.name])


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    small_model().save(path)
    with pytest.raises(ValueError, match="was not written by StepCheckpoint"):
        save(path, [0.5])


def test_a_file_for_another_result_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save(path, [0.5], monitor="val_loss")
    with pytest.raises(ValueError, match="was saved for val_loss"):
        save(path, [0.5])


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"model\.keras is not a complete"):
        save(path, [0.5])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"path": "model.h5"}, "must end with"),
        ({"path": "{step}/model.keras"}, "file's name only"),
        ({"path": "m-{step.keras"}, "wrong placeholder"),
        ({"path": "m" * 200 + ".keras"}, "at most 200 bytes, and has 206"),
        ({"path": "m.keras", "max_to_keep": 0}, "`max_to_keep`"),
        ({"path": "m.keras", "max_to_keep": 2.5}, "`max_to_keep`"),
        ({"path": "m.keras", "monitor": "f1"}, 'mode="max"'),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        StepCheckpoint(**options)


def test_a_directory_may_have_braces_in_its_name(tmp_path: Path) -> None:
    directory = tmp_path / "{a}"
    directory.mkdir()
    save(directory / "m-{step}.keras", [0.5, 0.6])
    assert files(directory) == ["m-2.keras", "m-4.keras"]
    save(directory / ("m" * 194 + ".keras"), [0.5])


def test_an_unknown_placeholder_is_refused_before_training(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=r"\['epoch'\].*step, val_accuracy"):
        save(tmp_path / "m-{epoch}.keras", [0.5])


def test_a_failed_save_keeps_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
        save(tmp_path / "model.keras", [0.5])
    assert files(tmp_path) == []


@pytest.mark.fault("C24")
def test_the_best_file_of_another_checkpoint_stays(tmp_path: Path) -> None:
    for _ in range(2):  # The second time, both files are there.
        best = StepCheckpoint(tmp_path / "m-best.keras")
        newest = StepCheckpoint(
            tmp_path / "m-{step:04d}.keras",
            save_best_only=False,
            max_to_keep=1,
        )
        script = ScriptedEvaluation([0.9, 0.5, 0.4], eval_freq=2)
        train(small_model(), [script, best, newest], steps=6)
        assert files(tmp_path) == [
            "m-0002.keras",
            "m-0006.keras",
            "m-best.keras",
        ]


@pytest.mark.fault("C24")
@pytest.mark.parametrize(
    "name",
    [
        "m-final.keras",
        "m-7.keras",  # The format writes 0007.
        "m-0007-old.keras",
        "m-0007.keras.keras",
        "m-1e3.keras",
    ],
)
@pytest.mark.parametrize("content", ["model", "junk"])
def test_a_file_that_no_save_would_write_is_left_alone(
    tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    small_model().save(path) if content == "model" else path.write_text("x")
    before = path.read_bytes()
    options = {"save_best_only": False, "max_to_keep": 1}
    save(tmp_path / "m-{step:04d}.keras", [0.9, 0.5, 0.4], **options)
    assert path.read_bytes() == before
    assert files(tmp_path) == sorted(["m-0002.keras", "m-0006.keras", name])


@pytest.mark.fault("C24")
def test_a_file_that_a_save_would_replace_is_refused(tmp_path: Path) -> None:
    small_model().save(tmp_path / "m-0007.keras")
    with pytest.raises(ValueError, match="was not written by StepCheckpoint"):
        save(tmp_path / "m-{step:04d}.keras", [0.5])


@pytest.mark.fault("C24")
def test_a_renamed_file_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "m-{step:04d}.keras", [0.5])
    (tmp_path / "m-0002.keras").rename(tmp_path / "m-0008.keras")
    with pytest.raises(ValueError, match="saved at step 2 and then renamed"):
        save(tmp_path / "m-{step:04d}.keras", [0.5])


@pytest.mark.fault("C24")
def test_files_without_zeros_are_sorted_by_step(tmp_path: Path) -> None:
    path = tmp_path / "m-{step}.weights.h5"
    options = {"save_best_only": False, "monitor": "val_loss"}
    save(path, [0.1, *[0.9] * 4], steps=10, max_to_keep=None, **options)
    assert "m-10.weights.h5" in files(tmp_path)
    # The newest before the restart, 10, stays; 8 has the larger name.
    save(path, [0.9], steps=2, max_to_keep=2, **options)
    assert files(tmp_path) == ["m-10.weights.h5", "m-2.weights.h5"]


@pytest.mark.fault("C24")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("m-{step:04d}.keras", "m-{step:04d}-{val_accuracy:.2f}.keras"),
        ("{step}.keras", "{step}-{val_accuracy}.keras"),
        ("{step:06d}.keras", "{step:04d}.keras"),
        ("m-{val_accuracy:.1%}.keras", "m-{val_accuracy:.3e}.keras"),
        ("m-{step}.keras", "m-{step}.weights.h5"),
    ],
)
def test_two_checkpoints_share_a_directory(
    tmp_path: Path, first: str, second: str
) -> None:
    values = [0.91, 0.5, 0.4, 0.3]
    for _ in range(2):
        both = [
            StepCheckpoint(
                tmp_path / template, save_best_only=False, max_to_keep=1
            )
            for template in (first, second)
        ]
        script = ScriptedEvaluation(values, eval_freq=2)
        train(small_model(), [script, *both], steps=8)
        names = {
            template.format(step=step, val_accuracy=value)
            for template in (first, second)
            for step, value in ((2, 0.91), (8, 0.3))
        }
        assert set(files(tmp_path)) == names


@pytest.mark.fault("C24")
def test_a_partial_file_of_another_checkpoint_stays(tmp_path: Path) -> None:
    # Its process may be alive on another machine that shares the directory.
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    other = tmp_path / f".partial-{gone}-m-best.keras"
    other.write_bytes(b"half a file")
    save(tmp_path / "m-{step:03d}.keras", [])
    assert files(tmp_path) == [other.name]


@pytest.mark.fault("C31")
def test_a_bucket_is_refused_and_a_tilde_is_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"`path` must be a path on this"):
        StepCheckpoint("gs://bucket/run/best.keras")
    monkeypatch.setenv("HOME", str(tmp_path))
    save(Path("~/deep/best.keras"), [0.5])
    assert files(tmp_path / "deep") == ["best.keras"]


class NoConfig(keras.Model):  # type: ignore[misc]
    """A model, a layer and a schedule without `get_config`, as in tutorials."""

    def __init__(self, scale: Any) -> None:
        super().__init__()
        self.scale = scale
        self.parts = {"head": Times(3)}

    def call(self, x: Any) -> Any:
        return self.parts["head"](self.scale(x))


class Times(keras.layers.Layer):  # type: ignore[misc]
    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(units, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.dense(x)


class Decay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    def __call__(self, step: Any) -> Any:
        return 0.1 / (keras.ops.cast(step, "float32") + 1)


def model_without_config() -> keras.Model:
    model = NoConfig(lambda x: 2 * x)
    model.compile(
        keras.optimizers.Adam(Decay()), "sparse_categorical_crossentropy"
    )
    model(small_arrays()[0])
    return model


@pytest.mark.fault("C23")
def test_weights_are_saved_without_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "best.weights.h5"
    model = model_without_config()
    script = ScriptedEvaluation([0.5, 0.9], eval_freq=2)
    train(model, [script, StepCheckpoint(path)], steps=4, shuffle=False)
    record = read_record(path)
    assert record is not None
    assert record.step == 4
    loaded = model_without_config()
    loaded.optimizer.build(loaded.trainable_variables)
    loaded.load_weights(path)
    assert same_weights(loaded.get_weights(), model.get_weights())
    assert int(loaded.optimizer.iterations) == 4
