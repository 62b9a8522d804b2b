"""What a person sees, with a clock and a terminal of the test's own."""

import io
from typing import Any

import pytest

from keras_port.callbacks import StepProgress
from keras_port.callbacks.step_progress import format_duration
from tests.callbacks.scripted import ScriptedEvaluation
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
