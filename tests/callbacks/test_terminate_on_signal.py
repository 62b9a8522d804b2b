"""Ctrl-C in a real process."""

from collections.abc import Iterator
import copy
from pathlib import Path
import pickle
import signal
import subprocess
import sys
from typing import Any

import keras
import pytest

from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TerminateOnSignal
from tests.callbacks.scripted import ScriptedEvaluation
from tests.callbacks.scripted import StopAt
from tests.callbacks.scripted import WeightsAt
from tests.callbacks.tensorboard.networks import stock_model
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train

ROOT = Path(__file__).parents[2]


class Raise(StopAt):
    """Sends a signal to this process at a step."""

    def __init__(self, step: int, number: signal.Signals) -> None:
        super().__init__(step)
        self.number = number

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_in_order(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    terminate = TerminateOnSignal()
    weights = WeightsAt(20)
    model = small_model()
    train(
        model,
        [
            ScriptedEvaluation([0.5, 0.9, 0.7], eval_freq=10),
            StepEarlyStopping(),
            weights,
            Raise(33, number),
            terminate,
        ],
        steps=100,
    )
    assert terminate.received == number.name
    assert int(model.optimizer.iterations) == 33
    assert same_weights(model.get_weights(), weights.weights[20])
    assert signal.getsignal(number) is before


def test_a_second_signal_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    twice = [Raise(5, signal.SIGINT), Raise(5, signal.SIGINT)]
    terminate = TerminateOnSignal()
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), [terminate, *twice], steps=10)
    terminate.on_train_end()
    assert signal.getsignal(signal.SIGINT) is before


class Fail(StopAt):
    """Raises at a step, as a broken callback does."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self.step:
            raise RuntimeError("broken callback")


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Notes the signals that reach a handler installed before `fit`."""
    numbers: list[int] = []

    def note(number: int, frame: object) -> None:
        numbers.append(number)

    before = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def failed_fit(terminate: TerminateOnSignal) -> keras.Model:
    """Returns a model whose `fit` raised with this callback in its list."""
    model = small_model()
    with pytest.raises(RuntimeError, match="broken callback"):
        train(model, [terminate, Fail(3)], steps=10)
    return model


def test_after_a_fit_that_raised_a_signal_goes_to_the_handler_before(
    heard: list[int],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    terminate = TerminateOnSignal()
    failed_fit(terminate)
    signal.raise_signal(signal.SIGINT)
    assert heard == [signal.SIGINT]
    assert terminate.received is None
    # The first one gives all signals back.
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.getsignal(signal.SIGTERM) is before


def test_after_a_fit_that_raised_ctrl_c_is_an_exception_again() -> None:
    # A process in the background, as of pytest-xdist, ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        failed_fit(TerminateOnSignal())
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_fit_without_it_does_not_end_by_that_of_a_fit_that_raised(
    heard: list[int],
) -> None:
    model = failed_fit(TerminateOnSignal())
    train(model, [Raise(5, signal.SIGINT)], steps=7)
    assert heard == [signal.SIGINT]
    assert int(model.optimizer.iterations) == 10


def test_the_same_object_listens_again_after_a_fit_that_raised(
    heard: list[int],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    terminate = TerminateOnSignal()
    model = failed_fit(terminate)
    train(model, [Raise(5, signal.SIGINT), terminate], steps=7)
    assert terminate.received == "SIGINT"
    assert int(model.optimizer.iterations) == 5
    assert heard == []
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_after_a_fit_that_raised_a_signal_is_ignored_or_ends_as_before(
    handler: signal.Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, handler)
    try:
        # The `fit` of a `GradientModel` would restore the handler at once.
        with pytest.raises(RuntimeError, match="broken callback"):
            train(
                stock_model(),
                [TerminateOnSignal(), Fail(3)],
                steps=10,
                shuffle=False,
            )
        raised: list[int] = []
        on_signal = signal.getsignal(signal.SIGINT)
        assert callable(on_signal)
        # The default would end this process.
        monkeypatch.setattr(signal, "raise_signal", raised.append)
        on_signal(signal.SIGINT, None)
        assert signal.getsignal(signal.SIGINT) == handler
        assert raised == [signal.SIGINT] * (handler == signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_handler_put_over_it_during_fit_stays(heard: list[int]) -> None:
    class Replace(StopAt):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    train(small_model(), [TerminateOnSignal(), Replace(1)], steps=1)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_in_another_thread_it_says_that_it_hears_nothing() -> None:
    code = """
import threading
from tests.callbacks.scripted import *
from tests.small import *
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import TerminateOnSignal
thread = threading.Thread(
    target=train, args=(small_model(), [TerminateOnSignal()]),
    kwargs={"steps": 2},
)
thread.start()
thread.join()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "has no effect" in ended.stderr


@pytest.mark.fault("C38")
def test_in_a_loop_of_ones_own_it_says_that_it_hears_nothing(
    heard: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    model, terminate = small_model(), TerminateOnSignal()
    hooks = keras.callbacks.CallbackList([terminate], model=model)
    with caplog.at_level("WARNING"):
        hooks.on_train_begin()
    assert "no effect outside of `fit`" in caplog.text
    signal.raise_signal(signal.SIGINT)
    hooks.on_train_batch_end(0, {})
    hooks.on_train_end()
    assert heard == [signal.SIGINT]


def test_a_fit_that_tells_it_of_an_exception_gets_the_handlers_back(
    heard: list[int],
) -> None:
    before = signal.getsignal(signal.SIGINT)
    terminate = TerminateOnSignal()
    failed_fit(terminate)
    terminate.on_train_interrupted()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.fault("E6")
@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
@pytest.mark.parametrize("fails", [False, True])
def test_it_can_be_copied_after_a_fit(clone: Any, fails: bool) -> None:
    terminate = TerminateOnSignal()
    callbacks = [StepEvaluation(small_arrays(9), eval_freq=1), terminate]
    if fails:
        with pytest.raises(RuntimeError):
            train(stock_model(), [*callbacks, Fail(2)], shuffle=False)
    else:
        train(stock_model(), callbacks, steps=2, shuffle=False)
    other = clone(terminate)
    terminate.on_train_end()
    train(small_model(), [Raise(3, signal.SIGINT), other], steps=5)
    assert other.received == "SIGINT"


# The process group gets the signal, as a scheduler or a terminal sends it.
LOADERS = """
import os, signal, time
import keras
from keras_port.callbacks import TerminateOnSignal
from tests.small import small_arrays, small_model

class Batches(keras.utils.PyDataset):
    def __init__(self):
        super().__init__(workers=2, use_multiprocessing=True)
        self.x, self.y = small_arrays()

    def __len__(self):
        return 4000

    def __getitem__(self, index):
        time.sleep(0.01)
        start = 8 * (index % 6)
        return self.x[start : start + 8], self.y[start : start + 8]

class Signal(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 20:
            os.killpg(0, signal.SIGTERM)

terminate = TerminateOnSignal()
small_model().fit(Batches(), callbacks=[Signal(), terminate], verbose=0)
print("ended by", terminate.received, flush=True)
"""


@pytest.mark.fault("R6")
def test_processes_that_load_the_data_go_on_until_the_end() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOADERS],
        cwd=ROOT,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.stdout == "ended by SIGTERM\n", ended.stderr
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
