"""A directory is locked as long as its training lives, and no longer."""

from collections.abc import Iterator
import contextlib
import multiprocessing
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from keras_port.callbacks import TrainingState
from keras_port.checkpoints import DirectoryLock
from tests.small import small_model
from tests.small import train

ROOT = Path(__file__).parents[2]
# Python warns that a fork of a process with threads may wait forever. That is
# what users' programs do, and these children only sleep.
forks = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


@contextlib.contextmanager
def forked() -> Iterator[int]:
    """Forks a process that does nothing, and gives its number."""
    pid = os.fork()
    if pid == 0:
        time.sleep(120)
        os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def is_free(directory: Path) -> bool:
    """Tells whether another process can lock the directory."""
    code = (
        "import pathlib, sys\n"
        "from keras_port.checkpoints import DirectoryLock\n"
        "DirectoryLock(pathlib.Path(sys.argv[1]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, directory],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0 or "in use by another" in ended.stderr, (
        ended.stderr
    )
    return ended.returncode == 0


@forks
@pytest.mark.slow
@pytest.mark.fault("C27")
def test_a_released_lock_is_free_while_a_forked_child_lives(
    tmp_path: Path,
) -> None:
    lock = DirectoryLock(tmp_path)
    with forked():
        assert not is_free(tmp_path)
        lock.release()
        assert is_free(tmp_path)
        DirectoryLock(tmp_path).release()


@forks
@pytest.mark.fault("C27")
def test_a_child_that_ends_does_not_unlock_its_parent(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    # It ends as every Python program does, and so runs all finalizers.
    child = multiprocessing.get_context("fork").Process(target=lock.release)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert not is_free(tmp_path)
    lock.release()


@forks
@pytest.mark.fault("C27")
def test_a_second_fit_starts_while_workers_of_the_first_live(
    tmp_path: Path,
) -> None:
    with contextlib.ExitStack() as stack:

        class Worker(TrainingState):
            def on_train_batch_end(
                self, batch: int, logs: dict[str, float] | None = None
            ) -> None:
                super().on_train_batch_end(batch, logs)
                if batch == 1:
                    stack.enter_context(forked())

        model = small_model()
        for steps in (2, 4):
            state = Worker(tmp_path / "state")
            train(model, [state], steps=steps - state.step)
        assert int(model.optimizer.iterations) == 4


KILLED = """
import os, pathlib, signal, subprocess, sys, time
from keras_port.checkpoints import DirectoryLock
lock = DirectoryLock(pathlib.Path(sys.argv[1]))
if (pid := os.fork()) == 0:
    os.setsid()
    time.sleep(120)
    os._exit(0)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
print(pid, other.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.fault("C27")
def test_a_killed_process_whose_children_live_leaves_no_lock(
    tmp_path: Path,
) -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    children = [int(pid) for pid in killed.stdout.readline().split()]
    killed.stdout.close()
    try:
        assert killed.wait() == -signal.SIGKILL
        for pid in children:
            os.kill(pid, 0)  # Alive, or this raises an error.
        assert is_free(tmp_path)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)


def test_a_directory_in_use_is_an_error_that_names_the_process(
    tmp_path: Path,
) -> None:
    code = (
        "import pathlib, sys\n"
        "from keras_port.checkpoints import DirectoryLock\n"
        "lock = DirectoryLock(pathlib.Path(sys.argv[1]))\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(OSError, match=rf"\(process {other.pid}\)"):
            DirectoryLock(tmp_path)
        assert other.stdin is not None
        other.stdin.close()
    DirectoryLock(tmp_path).release()


@pytest.mark.parametrize("target", ["victim.txt", "made.conf"])
def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    """S7: the lock is a link to somebody's file."""
    victim = tmp_path / "victim.txt"
    victim.write_text("somebody's")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").symlink_to(tmp_path / target)
    with pytest.raises(OSError, match=r"\.lock is a link.* Remove it"):
        DirectoryLock(run)
    assert victim.read_text() == "somebody's"
    assert not (tmp_path / "made.conf").exists()


def test_a_file_with_another_name_is_not_changed(tmp_path: Path) -> None:
    """S7: the lock is a hard link to somebody's file."""
    victim = tmp_path / "victim.txt"
    victim.write_text("somebody's")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").hardlink_to(victim)
    lock = DirectoryLock(run)
    assert not is_free(run)
    lock.release()
    assert victim.read_text() == "somebody's"


def test_a_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(OSError, match="is not a file"):
        DirectoryLock(tmp_path)
