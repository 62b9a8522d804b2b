"""The table of a run has a row for every step that was evaluated."""

import csv
from pathlib import Path
from typing import Any

import keras
import pytest

from keras_port.callbacks import StepEvaluation
from keras_port.runs import Run
from keras_port.runs.history_file import HistoryFile
from tests.callbacks.tensorboard.networks import stock_model
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model
from tests.small import train


def read(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_holds_all_results_of_a_step(tmp_path: Path) -> None:
    losses = []

    class Losses(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            losses.append(self.model.batch_loss)

    history = train(
        small_model(),
        [
            Losses(),
            StepEvaluation(small_arrays(9), eval_freq=2),
            StepEvaluation(small_arrays(8), eval_freq=4, prefix="test"),
            HistoryFile(tmp_path / "history.csv"),
        ],
        steps=6,
    ).history
    rows = read(tmp_path / "history.csv")
    assert list(rows[0]) == [
        *("step", "loss", "val_loss", "val_accuracy"),
        *("test_loss", "test_accuracy"),
    ]
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]
    assert [row["test_loss"] != "" for row in rows] == [False, True, False]
    means = [sum(losses[at : at + 2]) / 2 for at in (0, 2, 4)]
    assert [float(row["loss"]) for row in rows] == pytest.approx(means)


def test_a_summed_loss_has_the_unit_of_the_evaluation(tmp_path: Path) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    model = small_model(loss=loss, optimizer=keras.optimizers.SGD(0.0))
    train(
        model,
        [
            StepEvaluation(small_arrays(48), eval_freq=6),
            HistoryFile(tmp_path / "history.csv"),
        ],
        steps=6,
    )
    (row,) = read(tmp_path / "history.csv")
    assert float(row["loss"]) == pytest.approx(float(row["val_loss"]), rel=1e-5)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
def test_a_stock_model_has_no_loss_of_its_steps(tmp_path: Path) -> None:
    train(
        stock_model(),
        [
            StepEvaluation(small_arrays(9), eval_freq=2),
            HistoryFile(tmp_path / "history.csv"),
        ],
        steps=2,
    )
    (row,) = read(tmp_path / "history.csv")
    assert row["loss"] == ""
    assert float(row["val_loss"]) > 0


class StopError(Exception):
    """Stands for a kill."""


def test_a_resumed_run_has_the_rows_of_one_that_was_not_interrupted(
    tmp_path: Path,
) -> None:
    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) == 7:
                raise StopError

    def fit(directory: Path, *more: Any) -> str:
        run = Run(directory, settings={}, max_steps=12, save_freq=3)
        run.fit(
            small_model(),
            lambda start_batch: small_batches(start_batch=start_batch),
            callbacks=[StepEvaluation(small_arrays(), eval_freq=4), *more],
        )
        return (directory / "history.csv").read_text()

    expected = fit(tmp_path / "whole")
    with pytest.raises(StopError):
        fit(tmp_path / "cut", Stop())
    assert fit(tmp_path / "cut") == expected
