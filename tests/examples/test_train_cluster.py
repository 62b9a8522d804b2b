"""The launcher starts a cluster, and mends it when a worker is lost."""

import contextlib
import os
from pathlib import Path
import socket
import subprocess
import sys
import time

import pytest
import train_cluster

from tests.examples.small_data import read_results

ROOT = Path(__file__).parents[2]


def launched(workdir: Path, *more: str) -> str:
    """Runs the launcher for the perceptron, and returns what it prints."""
    ended = subprocess.run(
        [
            *(sys.executable, str(ROOT / "examples" / "train_cluster.py")),
            *(f"--workdir={workdir}", "--network=perceptron"),
            *("--max_steps=400", "--eval_freq=100", "--save_freq=50", *more),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_a_lost_worker_is_replaced_and_the_run_ends(tmp_path: Path) -> None:
    out = launched(tmp_path / "lost", "--lose_at=200")
    assert "Worker 1 is killed." in out
    assert "The workers ended with [1, -9]." in out
    assert "Resuming" in out
    assert out.splitlines()[-1] == "2 workers, 1 times lost one."
    assert read_results(tmp_path / "lost")["steps"] == 400


@pytest.mark.slow
def test_a_cluster_trains_and_only_the_first_worker_prints(
    tmp_path: Path,
) -> None:
    out = launched(tmp_path / "run")
    assert out.count("Curves:") == 1
    assert out.count("Ended by max_steps at step 400") == 1
    assert out.splitlines()[-1] == "2 workers, 0 times lost one."
    assert read_results(tmp_path / "run")["steps"] == 400


def start_worker(
    workdir: Path, addresses: list[str], index: int, *more: str
) -> subprocess.Popen[str]:
    environment = train_cluster.make_environment(addresses, index)
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "examples" / "train_cluster.py")),
            *(f"--workdir={workdir}", "--network=perceptron", *more),
        ],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.fault("R19")
def test_sigterm_while_they_meet_is_one_line(tmp_path: Path) -> None:
    addresses = train_cluster.find_free_addresses(2)
    worker = start_worker(tmp_path, addresses, 0)
    host, _, port = addresses[0].rpartition(":")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port)), 1).close()
            break
        time.sleep(0.1)
    worker.terminate()
    _, errors = worker.communicate(timeout=20)
    assert worker.returncode == 1
    assert (
        errors == "SIGTERM outside of the training. The same command goes on.\n"
    )


@pytest.mark.slow
@pytest.mark.fault("R19")
def test_a_stopped_training_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    addresses = train_cluster.find_free_addresses(2)
    flags = ("--max_steps=100000", "--save_freq=50", "--stopped_code=75")
    workers = [
        start_worker(tmp_path, addresses, index, *flags) for index in (0, 1)
    ]
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("state/state-*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    workers[1].terminate()
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 75, errors
    assert read_results(tmp_path)["ended_by"] == "SIGTERM"


@pytest.mark.slow
@pytest.mark.fault("R16")
@pytest.mark.parametrize(
    "flag", ["seed", "batch_size", "eval_freq", "patience", "max_steps"]
)
def test_workers_with_different_flags_all_say_so(
    tmp_path: Path, flag: str
) -> None:
    addresses = train_cluster.find_free_addresses(2)
    workers = [
        start_worker(tmp_path, addresses, index, f"--{flag}={50 + index}")
        for index in (0, 1)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 1
        assert f"{flag} is 50 on worker 0, 51 on worker 1" in errors
        assert errors.count("\n") == 1


def test_it_gives_up_after_so_many_restarts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(ValueError, match="lost in each of 2 starts"):
        train_cluster.launch(failing, workers=2, restarts=1)
    assert capsys.readouterr().out.count("ended with [3, 3].") == 2
