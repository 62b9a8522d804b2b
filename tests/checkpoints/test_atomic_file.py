"""A file is whole or not there, whenever the process is killed."""

import errno
import os
from pathlib import Path
import re
import subprocess
import sys

import keras
import pytest

from keras_port.callbacks import StepCheckpoint
from keras_port.callbacks import TrainingState
from keras_port.checkpoints import atomic_file
from keras_port.checkpoints import read_record
from keras_port.checkpoints.atomic_file import remove_leftovers
from keras_port.checkpoints.snapshot import read_snapshot
from tests.callbacks.scripted import ScriptedEvaluation
from tests.small import small_model
from tests.small import train

# The package gives the function the name of its module.
atomic_file_module = sys.modules["keras_port.checkpoints.atomic_file"]
ROOT = Path(__file__).parents[2]
NUMBERS = re.compile(r"numbers\.txt").fullmatch


def names(folder: Path) -> list[str]:
    """Returns the names of all that is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def gone_pid() -> int:
    """Returns the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_file_is_there_after_the_block_and_not_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "numbers.txt"
    with atomic_file(path) as partial:
        partial.write_text("1 2 3")
        assert (partial.parent.parent, partial.name) == (tmp_path, path.name)
        assert not path.exists()
    assert path.read_text() == "1 2 3"
    assert names(tmp_path) == ["numbers.txt"]


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="in the block"):
        write_half(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["numbers.txt"]


def write_half(path: Path) -> None:
    """Begins to write a file and fails."""
    with atomic_file(path) as partial:
        partial.write_text("ne")
        raise RuntimeError("in the block")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "numbers.txt"
    path.write_text("old")
    monkeypatch.setattr(os, call, full)
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_file(path) as partial,
    ):
        partial.write_text("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["numbers.txt"]


def test_the_content_is_on_the_disk_before_it_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        calls.append("folder" if folder else "file")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    with atomic_file(tmp_path / "numbers.txt") as partial:
        partial.write_text("1")
    assert calls == ["file", "replace", "folder"]


@pytest.mark.fault("B18")
def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f".partial-{gone_pid()}-numbers.txt"
    left.write_text("half")
    with atomic_file(tmp_path / "numbers.txt") as partial:
        partial.write_text("1")
    assert names(tmp_path) == ["numbers.txt"]


@pytest.mark.fault("B18")
def test_what_an_earlier_process_of_the_same_number_left_is_removed(
    tmp_path: Path,
) -> None:
    # In a container the processes of two starts often have the same number.
    (tmp_path / f".partial-{os.getpid()}-numbers.txt").write_text("half")
    remove_leftovers(tmp_path, NUMBERS)
    assert names(tmp_path) == []


def test_what_is_being_written_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / f".partial-{os.getppid()}-numbers.txt"
    other.write_text("of a process that runs")
    monkeypatch.chdir(tmp_path)
    with atomic_file("numbers.txt") as partial:
        partial.write_text("1")
        remove_leftovers(tmp_path, NUMBERS)
        assert partial.exists()
    assert names(tmp_path) == sorted([other.name, "numbers.txt"])


@pytest.mark.parametrize(
    "name",
    [
        "partial-{pid}-numbers.txt",
        ".partial-x-numbers.txt",
        ".partial-{pid}-numbers.txt.bak",
        ".partial-{pid}-other.txt",
    ],
)
def test_files_of_others_are_not_removed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.format(pid=gone_pid())
    path.write_text("somebody's")
    remove_leftovers(tmp_path, NUMBERS)
    assert path.exists()


def test_a_number_that_no_process_can_have_is_gone(tmp_path: Path) -> None:
    (tmp_path / f".partial-{10**30}-numbers.txt").write_text("half")
    remove_leftovers(tmp_path, NUMBERS)
    assert names(tmp_path) == []


def test_a_link_or_folder_where_a_partial_file_could_be_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S8 and S13: what another user has planted in the directory."""
    victim = tmp_path / "victim.txt"
    victim.write_text("somebody's")
    monkeypatch.setattr("secrets.token_hex", lambda size: "00" * size)
    (tmp_path / f".partial-{os.getpid()}-numbers.txt").mkdir()
    planted = tmp_path / f".partial-{os.getppid()}.0000-numbers.txt"
    planted.symlink_to(victim)
    with atomic_file(tmp_path / "numbers.txt") as partial:
        # Nobody else can write here.
        assert partial.parent.stat().st_mode & 0o777 == 0o700
        partial.write_text("1")
    assert victim.read_text() == "somebody's"
    # Also if the name were known: it is made or nothing is written.
    planted = tmp_path / f".partial-{os.getpid()}.{'00' * 8}-numbers.txt"
    planted.symlink_to(tmp_path)
    monkeypatch.setattr(
        atomic_file_module, "remove_leftovers", lambda *args: None
    )
    with pytest.raises(OSError, match=r"numbers\.txt could not be written"):
        write_half(tmp_path / "numbers.txt")
    assert victim.read_text() == "somebody's"
    assert (tmp_path / "numbers.txt").read_text() == "1"


def test_a_link_among_the_leftovers_is_removed_and_not_followed(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("somebody's")
    (tmp_path / f".partial-{gone_pid()}.00-numbers.txt").symlink_to(kept)
    remove_leftovers(tmp_path, NUMBERS)
    assert names(tmp_path) == ["kept"]
    assert names(kept) == ["file"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "numbers.txt"
    with pytest.raises(FileNotFoundError, match="folder"):
        write_half(path)


# One process that imports Keras once, and a child for each kill. The weights
# of each save equal its step, so that a file mixed from two saves would show.
# A child writes a byte when a save has ended; what it has reported must stay.
KILLS = """
import os, random, signal, sys, time
import numpy as np
from keras_port.callbacks.step_checkpoint import save_model
from keras_port.checkpoints import CheckpointRecord
from keras_port.checkpoints.snapshot import write_snapshot
from pathlib import Path
from tests.small import small_model

folder, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(7)
model = small_model()
(folder / "state").mkdir()

def save(step):
    model.set_weights([np.full(w.shape, step) for w in model.get_weights()])
    record = CheckpointRecord("val_accuracy", float(step), step)
    save_model(model, folder / "best.keras", record)
    save_model(model, folder / "best.weights.h5", record)
    array = np.full(1000, step)
    state = folder / "state" / "state-00000001.npz"
    write_snapshot(state, {"step": step, "array": array})

save(0)
done, hits = 0, 0
for _ in range(kills):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for step in range(done + 1, done + 1000):
            save(step)
            os.write(writer, b".")
    os.close(writer)
    os.read(reader, 1)
    done += 1
    time.sleep(chance.uniform(0, 0.3))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while os.read(reader, 1):
        done += 1
    os.close(reader)
    hits += any(folder.rglob(".partial-*"))
    print(done, flush=True)
    sys.stdin.readline()
print("hits", hits)
"""


@pytest.mark.fault("B18")
@pytest.mark.parametrize("kills", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_a_kill_while_saving_leaves_the_file_before(
    tmp_path: Path, kills: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLS, tmp_path, str(kills)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(kills):
            check_files(tmp_path, saved=int(process.stdout.readline()))
            process.stdin.write("\n")
            process.stdin.flush()
        hits = int(process.stdout.readline().split()[1])
    assert process.returncode == 0
    # Otherwise the kills have shown nothing.
    assert kills < 50 or hits >= 10
    check_next_start(tmp_path)


def check_files(folder: Path, *, saved: int) -> None:
    """Checks that each file is whole, and not older than the last save."""
    for name in ("best.keras", "best.weights.h5"):
        record = read_record(folder / name)
        assert record is not None
        assert record.step in (saved, saved + 1)
        if name.endswith(".keras"):
            model = keras.saving.load_model(folder / name)
        else:
            model = small_model()
            model.load_weights(folder / name)
        for weights in model.get_weights():
            assert (weights == record.step).all()
    state = read_snapshot(folder / "state" / "state-00000001.npz")
    assert state["step"] in (saved, saved + 1)
    assert (state["array"] == state["step"]).all()
    # The last kill's only: each save removes what the one before has left.
    assert len(list(folder.rglob(".partial-*"))) <= 1


def check_next_start(folder: Path) -> None:
    """Checks that the next training removes what the last kill has left."""
    (folder / "state" / "state-00000001.npz").unlink()
    for until, name in enumerate(("best.keras", "best.weights.h5"), 1):
        state = TrainingState(folder / "state")
        train(
            small_model(),
            [ScriptedEvaluation([]), StepCheckpoint(folder / name), state],
            steps=until - state.step,
        )
    assert not list(folder.rglob(".partial-*"))
    assert names(folder) == ["best.keras", "best.weights.h5", "state"]
