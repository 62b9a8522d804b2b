"""What a person sees, with a clock and a terminal of the test's own."""

import copy
import gc
import io
import logging
import pickle
from typing import Any

import absl.logging
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepProgress
from keras_port.callbacks.step_progress import format_duration
from keras_port.training import GradientModel
from tests.callbacks.scripted import ScriptedEvaluation
from tests.callbacks.tensorboard.networks import stock_model
from tests.small import small_batches
from tests.small import small_model
from tests.small import train


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Goes on by a tenth of a second each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


def shown(stream: io.StringIO, **options: Any) -> str:
    """Returns what 40 steps with four evaluations write."""
    progress = StepProgress(stream=stream, clock=Clock(), **options)
    script = ScriptedEvaluation([0.5, 0.6, 0.55, 0.7], eval_freq=10)
    train(small_model(), [script, progress], steps=40)
    return stream.getvalue()


def test_each_evaluation_is_a_line_that_says_whether_it_was_better() -> None:
    lines = shown(io.StringIO(), batch_size=8, patience=5).splitlines()
    assert len(lines) == 4
    for line, step, value, verdict in zip(
        lines,
        (10, 20, 30, 40),
        ("0.5000", "0.6000", "0.5500", "0.7000"),
        ("better", "better", "not better (1 of 5)", "better"),
        strict=True,
    ):
        assert line.startswith(f"step {step}/40  loss ")
        assert line.endswith(f"  val_accuracy {value}  {verdict}")
        assert " examples/s  " in line
    assert "0:0" in lines[0]
    assert " left " in lines[0]
    assert " left " not in lines[-1]


def test_a_terminal_sees_one_line_over_and_over() -> None:
    text = shown(Terminal(), interval=0.5)
    assert text.count("\n") == 4
    assert text.count("\r") > 8
    assert "steps/s" in text


def test_without_evaluations_the_end_is_shown() -> None:
    stream = io.StringIO()
    train(small_model(), [StepProgress(stream=stream)], steps=5)
    assert stream.getvalue().startswith("step 5/5  loss ")
    assert stream.getvalue().count("\n") == 1


def test_the_loss_is_that_of_the_newest_batch() -> None:
    stream = io.StringIO()
    model = small_model()
    train(model, [StepProgress(stream=stream)], steps=5)
    assert f"loss {model.batch_loss:.4g}" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (363, "6:03"), (3725, "1:02:05")],
)
def test_durations_read_as_a_clock(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_training_without_a_step_shows_no_limit() -> None:
    # As a run that was killed before its results restores its end.
    stream = io.StringIO()
    model = small_model()
    train(model, [], steps=3)
    progress = StepProgress(stream=stream)
    progress.set_params({"steps": 1, "epochs": 1})
    progress.set_model(model)
    progress.on_train_begin()
    progress.on_train_end()
    assert "3/1" not in stream.getvalue()
    assert "step 3" in stream.getvalue()


class WriteOnly:
    """A stream with no more than `write`, as programs put for `sys.stdout`."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


@pytest.mark.fault("C32")
@pytest.mark.parametrize("replaces", [False, True])
def test_a_stream_that_can_only_write_gets_lines(
    replaces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = WriteOnly()
    if replaces:
        monkeypatch.setattr("sys.stdout", stream)
    progress = StepProgress(stream=None if replaces else stream)
    train(small_model(), [progress], steps=3)
    assert stream.text.startswith("step 3/3  loss ")
    assert stream.text.endswith("\n")


@pytest.mark.fault("C32")
def test_a_process_without_a_console_gets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    script = ScriptedEvaluation([0.5], eval_freq=2)
    train(small_model(), [script, StepProgress()], steps=3)


@pytest.mark.fault("C38")
@pytest.mark.parametrize("history", [False, True])
def test_it_works_in_a_loop_of_ones_own(history: bool) -> None:
    model, stream = small_model(), io.StringIO()
    hooks = keras.callbacks.CallbackList(
        [StepProgress(stream=stream)], add_history=history, model=model
    )
    hooks.on_train_begin()
    for number, (x, y) in enumerate(small_batches().take(3)):
        hooks.on_train_batch_begin(number)
        logs = model.train_on_batch(x, y, return_dict=True)
        hooks.on_train_batch_end(number, logs)
    hooks.on_train_end()
    assert stream.getvalue().startswith("step 3  loss ")


class Clipped(GradientModel):
    """Updates the weights, and records neither a loss nor a metric."""

    def train_step(self, data: Any) -> Any:
        result = self.compute_gradients(*data)
        self.apply_gradients(
            [(tf.clip_by_norm(g, 1.0), v) for g, v in result.grads_and_vars]
        )
        return {"loss": result.loss}


@pytest.mark.fault("C09")
def test_the_loss_of_a_step_of_ones_own_comes_from_the_logs() -> None:
    plain, stream = small_model(), io.StringIO()
    model = Clipped(plain.inputs, plain.outputs)
    model.compile(plain.optimizer, plain.loss)
    history = train(model, [StepProgress(stream=stream)], steps=3)
    assert f"loss {history.history['loss'][0]:.4g}" in stream.getvalue()


def test_a_loss_that_is_no_number_is_shown() -> None:
    stream, model = io.StringIO(), small_model()
    model.set_weights([w * np.nan for w in model.get_weights()])
    train(model, [StepProgress(stream=stream)], steps=1)
    assert "loss nan" in stream.getvalue()


@pytest.mark.parametrize(
    ("options", "callbacks", "text"),
    [
        ({}, [], "  0:"),
        ({"patience": 3}, [], "  at most 0:"),
        ({}, [StepEarlyStopping(patience=9)], "  at most 0:"),
    ],
)
def test_the_time_left_says_if_it_may_be_shorter(
    options: dict[str, Any], callbacks: list[Any], text: str
) -> None:
    stream = io.StringIO()
    progress = StepProgress(stream=stream, clock=Clock(), **options)
    script = ScriptedEvaluation([0.5], eval_freq=10)
    train(small_model(), [script, progress, *callbacks], steps=40)
    line = stream.getvalue().splitlines()[0]
    assert text in line[: line.index(" left")]
    assert ("at most" in line) == ("at most" in text)


class Warn(keras.callbacks.Callback):
    """Writes a warning of absl to the terminal."""

    def __init__(self, terminal: io.StringIO) -> None:
        super().__init__()
        self.handler = logging.StreamHandler(terminal)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        logger = absl.logging.get_absl_logger()
        logger.addHandler(self.handler)
        absl.logging.warning("watch out")
        logger.removeHandler(self.handler)


def test_a_warning_has_a_line_of_its_own() -> None:
    terminal = Terminal()
    progress = StepProgress(stream=terminal, clock=Clock(), interval=0.0)
    logger = absl.logging.get_absl_logger()
    before = list(logger.filters)
    train(small_model(), [progress, Warn(terminal)], steps=3)
    lines = terminal.getvalue().splitlines()
    assert lines.count("watch out") == 3
    assert logger.filters == before


@pytest.mark.parametrize("is_told", [False, True])
def test_a_broken_training_leaves_nothing_behind(is_told: bool) -> None:
    terminal = Terminal()
    progress = StepProgress(stream=terminal, clock=Clock(), interval=0.0)
    logger = absl.logging.get_absl_logger()
    before = list(logger.filters)

    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise RuntimeError("broken callback")

    with pytest.raises(RuntimeError, match="broken callback"):
        train(small_model(), [progress, Fail()], steps=3)
    if is_told:
        # As the `fit` of a `GradientModel` does.
        progress.on_train_interrupted()
        assert terminal.getvalue().endswith("\n")
    del progress
    gc.collect()
    assert logger.filters == before


@pytest.mark.fault("E6")
@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_it_can_be_copied_after_a_fit(clone: Any) -> None:
    progress = StepProgress(patience=3)
    script = ScriptedEvaluation([0.5], eval_freq=2)
    train(stock_model(), [script, progress], steps=3, shuffle=False)
    other = clone(progress)
    other.stream = io.StringIO()
    train(small_model(), [other], steps=2)
    assert other.stream.getvalue().startswith("step 2/2")
