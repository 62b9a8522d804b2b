"""A run that is killed again and again ends as one that never was."""

import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from benchmarks.trials.endings import find_differences
from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import events
from keras_port.checkpoints import read_record
from keras_port.checkpoints.snapshot import read_snapshot

ROOT = Path(__file__).parents[2]
# 200 by the command in CONTRIBUTING.
KILLS = int(os.environ.get("KERAS_PORT_KILLS", "20"))
SEED = 7
# Curves that tell of the machine, not of the run.
OF_THE_CLOCK = ("speed/steps_per_second", "speed/examples_per_second")


def command(workdir: Path, kills: int) -> list[str]:
    """Returns a run that is long enough for so many kills."""
    return [
        *(sys.executable, "-u", str(ROOT / "examples" / "train_cnn.py")),
        *(f"--workdir={workdir}", "--batch_size=10", "--eval_freq=20"),
        *(f"--max_steps={40 * kills}", "--save_freq=2", "--patience=1000"),
    ]


def start(workdir: Path, kills: int) -> subprocess.Popen[str]:
    """Starts the run in a process of its own."""
    return subprocess.Popen(
        command(workdir, kills),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_at_random(workdir: Path, kills: int, generator: random.Random) -> bool:
    """Kills a run at some moment; tells whether it had not ended before."""
    with start(workdir, kills) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Curves:"):
                break  # From here on the run reads and writes its files.
        # It takes some two seconds to the first step. A kill comes after 24
        # steps in the mean, so that the run has steps left at the last.
        time.sleep(generator.uniform(0, 9))
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return alive


def finish(workdir: Path, kills: int) -> str:
    """Lets a run go on to its end, and returns what it prints."""
    with start(workdir, kills) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def content_of(workdir: Path) -> dict[str, Any]:
    """Returns all that a run leaves, without times."""
    (newest, *_) = sorted((workdir / "state").glob("*.npz"), reverse=True)
    snapshot = read_snapshot(newest)
    curves: dict[str, list[tuple[int, bytes]]] = {}
    for run in ("train", "validation"):
        for path in event_files(workdir / "logs" / run):
            for _, event in events(path):
                for value in event.summary.value:
                    if value.tag not in OF_THE_CLOCK:
                        points = curves.setdefault(f"{run}/{value.tag}", [])
                        content = value.tensor.SerializeToString()
                        points.append((event.step, content))
    return {
        "snapshot": snapshot,
        "curves": curves,
        "record": read_record(workdir / "model.keras"),
    }


def check_kills(tmp_path: Path, kills: int) -> None:
    """Kills a run so often, and compares it with one that is never killed."""
    generator = random.Random(SEED)
    done = 0
    workdir = tmp_path / "killed"
    while done < kills:
        assert kill_at_random(workdir, kills, generator), (
            f"the run ended after {done} of {kills} kills"
        )
        done += 1
    finish(workdir, kills)
    finish(tmp_path / "plain", kills)
    assert not find_differences(
        content_of(workdir), content_of(tmp_path / "plain")
    )
    assert "nothing left to do" in finish(workdir, kills)


@pytest.mark.slow
@pytest.mark.fault("B08", "B15", "B28")
def test_a_killed_run_ends_to_the_same_bits(tmp_path: Path) -> None:
    check_kills(tmp_path, KILLS)
