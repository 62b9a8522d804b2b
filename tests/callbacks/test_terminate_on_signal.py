"""Ctrl-C in a real process."""

from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

import pytest

from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import TerminateOnSignal
from tests.callbacks.scripted import ScriptedEvaluation
from tests.callbacks.scripted import StopAt
from tests.callbacks.scripted import WeightsAt
from tests.callbacks.scripted import same_weights
from tests.callbacks.scripted import small_model
from tests.callbacks.scripted import train


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


def test_in_another_thread_it_says_that_it_hears_nothing() -> None:
    code = """
import threading
from tests.callbacks.scripted import *
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
    assert "hears nothing" in ended.stderr
