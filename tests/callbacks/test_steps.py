"""What is due at a step, however many steps one call runs."""

from collections.abc import Sequence

import pytest

from keras_port.callbacks import StepCheckpoint
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepProgress
from keras_port.callbacks._steps import Every


@pytest.mark.parametrize(
    ("start", "seen", "due"),
    [
        (0, range(1, 12), [5, 10]),
        (0, [3, 6, 9, 12], [6, 12]),
        (0, [20, 24, 25], [20, 25]),
        (7, [8, 9, 10], [10]),
        (10, [10, 11, 15], [15]),
    ],
)
def test_due_at_the_first_chance_at_or_after_every_multiple(
    start: int, seen: Sequence[int], due: list[int]
) -> None:
    every = Every(5)
    every.restart(start)
    assert [step for step in seen if every.is_due(step)] == due


def test_monitor_is_the_string_that_was_given() -> None:
    for callback in (
        StepCheckpoint("model.keras", monitor="val_loss"),
        StepEarlyStopping(monitor="val_loss"),
        StepProgress(monitor="val_loss"),
    ):
        assert callback.monitor == "val_loss"
