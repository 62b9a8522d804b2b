"""The line of a training as a terminal shows it, at several widths."""

import os
from pathlib import Path
import re
import sys

import pytest

pty = pytest.importorskip("pty")

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from keras_port.callbacks import StepEarlyStopping, StepEvaluation
from keras_port.callbacks import StepProgress
from tests.small import small_arrays, small_model, train

train(
    small_model(loss={loss!r}),
    [
        StepEvaluation(small_arrays(40), eval_freq=6),
        StepEarlyStopping(patience=2),
        StepProgress(batch_size=8, patience=2, interval=0.0),
    ],
    steps={steps},
)
print("The next line.")
"""


def run_on_terminal(program: str, columns: int) -> str:
    """Runs a program on a terminal, and returns all that it writes."""
    import fcntl
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        os.execv(sys.executable, [sys.executable, "-c", program])
    size = struct.pack("HHHH", 40, columns, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    written = b""
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # The program has ended.
            break
        if not part:
            break
        written += part
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, written
    return written.decode()


def render(written: str, columns: int) -> list[str]:
    """Returns the lines of a terminal, which begins a new one when one is full.

    Only what the callback uses: text, carriage returns and line feeds.
    """
    lines, column = [""], 0
    for character in written:
        if character == "\r":
            column = 0
        elif character == "\n":
            lines.append("")
            column = 0
        else:
            if column == columns:
                lines.append("")
                column = 0
            line = lines[-1].ljust(column)
            lines[-1] = line[:column] + character + line[column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("columns", "steps"),
    [(50, 20), (80, 400), pytest.param(120, 20, marks=pytest.mark.slow)],
)
def test_every_line_is_a_line_of_its_own(columns: int, steps: int) -> None:
    """At the end of all steps, and after an early stop."""
    program = PROGRAM.format(
        root=str(ROOT), steps=steps, loss="sparse_categorical_crossentropy"
    )
    written = run_on_terminal(program, columns)
    lines = [
        line
        for line in render(written, columns)
        if line and "absl" not in line and "port.cc" not in line
    ]
    assert lines[-1] == "The next line."
    shown = [line for line in lines if line.startswith("step ")]
    # One line that stays for every evaluation, and at most one at the end.
    evaluations = [line for line in shown if "val_loss" in line]
    assert 3 <= len(evaluations) <= len(shown) <= len(evaluations) + 1
    # A line that is updated never becomes two.
    for part in re.split(r"[\r\n]+", written):
        if part.startswith("step ") and "val_" not in part:
            assert len(part) < columns
    # No two texts share a line.
    assert all(line.count("step ") == 1 for line in shown)
    assert not any("left" in line.rpartition("val_")[2] for line in shown)
