"""A program that calls `fit` several times resumes as one that calls it once.

A start that is killed is an exception here, and another process is one that
has forgotten which `fit`s have ended; the torture script kills real processes.
"""

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
import signal
from typing import Any

import keras
import numpy as np
import pytest

from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TerminateOnSignal
from keras_port.callbacks import TrainingState
from keras_port.callbacks import _interruptions
from keras_port.callbacks import _snapshots
from keras_port.training import GradientModel
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model


class KilledError(Exception):
    """Stands for a process that was killed."""


class Kill(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the process after so many batches of all `fit`s together."""

    def __init__(self, after: int | None) -> None:
        super().__init__()
        self.left = after
        self.step = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes where the `fit` starts."""
        self.step = int(self.model.optimizer.iterations)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Counts the batch, unless it is one that is skipped."""
        step = int(self.model.optimizer.iterations)
        if self.left is not None and step != self.step:
            self.step = step
            self.left -= 1
            if self.left <= 0:
                raise KilledError


@pytest.fixture(autouse=True)
def new_process() -> Iterator[Callable[[], None]]:
    """Gives a function that forgets what this process has done."""

    def forget() -> None:
        _snapshots._ended.clear()
        _interruptions.forget_all()

    forget()
    yield forget
    forget()


def deep_model() -> GradientModel:
    """Returns a model with a layer to freeze, and with random numbers."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu", name="base")(inputs)
    hidden = keras.layers.Dropout(0.3, seed=2)(hidden)
    outputs = keras.layers.Dense(3, activation="softmax")(hidden)
    model = GradientModel(inputs, outputs)
    compile_model(model, 0.05)
    return model


def compile_model(model: GradientModel, rate: float) -> None:
    """Compiles with an optimizer that has a state."""
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def make_callbacks(kill: Kill, *, patience: int = 20) -> list[Any]:
    """Returns the callbacks of one `fit`."""
    return [
        StepEvaluation(small_arrays(16), eval_freq=2),
        StepEarlyStopping(monitor="val_loss", patience=patience),
        kill,
    ]


def end_of(model: GradientModel, histories: list[Any]) -> Any:
    """Returns what a program ends with."""
    return model.get_weights(), [one.history for one in histories]


def warm_up_and_tune(workdir: Path, kill: Kill) -> Any:
    """Trains on with the same optimizer, with the steps counted on."""
    model = deep_model()
    histories = []
    for until in (7, 16):
        state = TrainingState(workdir, save_freq=2)
        histories.append(
            model.fit(
                small_batches(start_batch=state.batches_seen),
                steps_per_epoch=until - state.step,
                callbacks=[*make_callbacks(kill), state],
                verbose=0,
            )
        )
    return end_of(model, histories)


def thaw(workdir: Path, kill: Kill) -> Any:
    """Freezes a layer, trains, thaws it, compiles again, and trains."""
    model = deep_model()
    model.get_layer("base").trainable = False
    compile_model(model, 0.05)
    histories = []
    for rate in (None, 0.01):
        if rate is not None:
            model.get_layer("base").trainable = True
            compile_model(model, rate)
        histories.append(
            model.fit(
                *small_arrays(),
                batch_size=8,
                epochs=2,
                shuffle=False,
                callbacks=[
                    *make_callbacks(kill),
                    TrainingState(workdir, save_freq=2),
                ],
                verbose=0,
            )
        )
    return end_of(model, histories)


def stop_early(workdir: Path, kill: Kill) -> Any:
    """Ends the first `fit` early, and gives the second one its own patience."""
    model = deep_model()
    compile_model(model, 0.3)
    histories = []
    for patience in (1, 3):
        histories.append(
            model.fit(
                small_batches(),
                steps_per_epoch=60,
                callbacks=[
                    *make_callbacks(kill, patience=patience),
                    TrainingState(workdir, save_freq=3),
                ],
                verbose=0,
            )
        )
        compile_model(model, 0.3)
    return end_of(model, histories)


def another_model(workdir: Path, kill: Kill) -> Any:
    """Trains a second model on the predictions of the first one."""
    x, _ = small_arrays()
    teacher, student = deep_model(), small_model()
    first = teacher.fit(
        small_batches(),
        steps_per_epoch=7,
        callbacks=[
            *make_callbacks(kill),
            TrainingState(workdir / "teacher", save_freq=2),
        ],
        verbose=0,
    )
    labels = teacher.predict(x, verbose=0).argmax(1)
    second = student.fit(
        x,
        labels,
        batch_size=8,
        epochs=2,
        shuffle=False,
        callbacks=[
            *make_callbacks(kill),
            TrainingState(workdir / "student", save_freq=2),
        ],
        verbose=0,
    )
    return end_of(student, [first, second])


PROGRAMS = [
    warm_up_and_tune,
    thaw,
    pytest.param(stop_early, marks=pytest.mark.slow),
    pytest.param(another_model, marks=pytest.mark.slow),
]


def is_equal(left: Any, right: Any) -> bool:
    """Tells whether two programs ended with the same bits."""
    return left[1] == right[1] and all(
        np.array_equal(a, b) for a, b in zip(left[0], right[0], strict=True)
    )


@pytest.mark.fault("R4")
@pytest.mark.parametrize(
    "kills", [(8,), pytest.param((2, 7, 11, 13), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__name__)
def test_a_killed_program_ends_as_one_that_was_not(
    tmp_path: Path,
    new_process: Callable[[], None],
    program: Callable[[Path, Kill], Any],
    kills: tuple[int, ...],
) -> None:
    expected = program(tmp_path / "reference", Kill(None))
    for after in kills:
        workdir = tmp_path / f"killed_{after}"
        new_process()
        with pytest.raises(KilledError):
            program(workdir, Kill(after))
        new_process()
        assert is_equal(program(workdir, Kill(None)), expected), after
    # When all is done, the model in memory is the trained one.
    new_process()
    assert is_equal(program(workdir, Kill(None)), expected)


@pytest.mark.slow
@pytest.mark.fault("R4")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda one: one.__name__)
def test_a_program_that_is_killed_again_and_again(
    tmp_path: Path,
    new_process: Callable[[], None],
    program: Callable[[Path, Kill], Any],
) -> None:
    expected = program(tmp_path / "reference", Kill(None))
    for _ in range(20):
        new_process()
        try:
            found = program(tmp_path / "killed", Kill(6))
        except KilledError:
            continue
        assert is_equal(found, expected)
        return
    pytest.fail("The program makes no progress.")


def test_the_end_of_every_fit_is_kept(tmp_path: Path) -> None:
    warm_up_and_tune(tmp_path, Kill(None))
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == [
        "state-00000007.npz",
        "state-1-00000014.npz",
        "state-1-00000016.npz",
    ]


def test_a_lost_end_of_an_earlier_fit_is_an_error(
    tmp_path: Path, new_process: Callable[[], None]
) -> None:
    warm_up_and_tune(tmp_path, Kill(None))
    (tmp_path / "state-00000007.npz").unlink()
    new_process()
    with pytest.raises(ValueError, match="snapshots of a later `fit`, but no"):
        warm_up_and_tune(tmp_path, Kill(None))


def test_a_fit_after_one_that_a_signal_stopped_is_an_error(
    tmp_path: Path, new_process: Callable[[], None]
) -> None:
    """It would start from a model that is trained in part."""

    class Signal(Kill):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                signal.raise_signal(signal.SIGTERM)

    def program(workdir: Path, *callbacks: Any) -> Any:
        model = deep_model()
        histories = []
        for rate in (0.05, 0.1):
            compile_model(model, rate)
            histories.append(
                model.fit(
                    small_batches(),
                    steps_per_epoch=6,
                    callbacks=[*callbacks, TrainingState(workdir)],
                    verbose=0,
                )
            )
        return end_of(model, histories)

    expected = program(tmp_path / "reference")
    new_process()
    with pytest.raises(ValueError, match=r"stopped by SIGTERM before its end"):
        program(tmp_path / "state", Signal(None), TerminateOnSignal())
    new_process()
    assert is_equal(program(tmp_path / "state"), expected)
