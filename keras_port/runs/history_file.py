"""The curves of a run as a table, which needs no TensorBoard to be read."""

from collections.abc import Sequence
import csv
import io
import math
import pathlib
from typing import Any

from keras_port.callbacks import EvaluationListener
from keras_port.callbacks import get_step
from keras_port.checkpoints import atomic_file
from keras_port.training import StepLog
from keras_port.training import is_chief


class HistoryFile(EvaluationListener):
    """Writes a CSV file with one row for every step that was evaluated.

    The columns are `step`, `loss`, and the results of all evaluations. `loss`
    is the mean loss per example of the steps since the row before, at most of
    the newest 1,024; it is empty for a model that is no `GradientModel`.

    Args:
        path: The file.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path
        self._rows: list[dict[str, float]] = []
        # Losses of the steps up to `_read`, since the last row.
        self._losses: list[float] = []
        self._read = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins with no rows."""
        super().on_train_begin(logs)
        self._rows, self._losses = [], []
        self._read = get_step(self.model)

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Adds the results to the row of this step, and writes the file."""
        if not self._rows or self._rows[-1]["step"] != step:
            self._read_losses()
            self._rows.append({"step": step})
            if self._losses:
                mean = math.fsum(self._losses) / len(self._losses)
                self._rows[-1]["loss"] = mean
            self._losses = []
        self._rows[-1].update(logs)
        self._write()

    def get_state(self) -> dict[str, Any]:
        """Returns the state that a resumed training needs."""
        self._read_losses()
        return {"rows": self._rows, "losses": self._losses, "read": self._read}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` returned, and writes the file again."""
        self._rows = [dict(row) for row in state["rows"]]
        self._losses, self._read = list(state["losses"]), state["read"]
        if self._rows:
            self._write()

    def _read_losses(self) -> None:
        """Reads the losses of the steps since the last call."""
        log: StepLog | None = getattr(self.model, "step_log", None)
        step = get_step(self.model)
        if log is not None and step > self._read:
            self._losses += log.read(self._read, step).mean_loss.tolist()
        self._read = step

    def _write(self) -> None:
        if not is_chief(self.model):
            return
        with atomic_file(self.path) as partial:
            partial.write_text(format_rows(self._rows), "utf-8")


def format_rows(rows: Sequence[dict[str, float]]) -> str:
    """Returns rows as CSV, with a column for every name in one of them."""
    names = ["step", "loss"]
    for row in rows:
        names += [name for name in row if name not in names]
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
