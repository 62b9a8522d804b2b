"""The torture script tries every kind, repeats a trial, and notices faults."""

from collections.abc import Iterator
import json
from pathlib import Path
import random
import signal
import sys

import numpy as np
import pytest

from benchmarks import torture
from benchmarks.trials import cluster
from benchmarks.trials import disks
from benchmarks.trials import endings
from benchmarks.trials import files
from benchmarks.trials import kills
from benchmarks.trials import signals
from benchmarks.trials import torn
from benchmarks.trials.program_list import PROGRAMS
from benchmarks.trials.program_list import Program
from benchmarks.trials.program_list import write_data
from benchmarks.trials.starts import Interruption
from benchmarks.trials.starts import Starter
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Trial
from keras_port import callbacks

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="forks, signals and /proc"
)
PROGRAM = PROGRAMS["no_evaluation"]
# Programs that do not resume as they should, without an import that is slow.
COUNTS_STARTS = """
import json, pathlib, sys
workdir = pathlib.Path(sys.argv[1])
workdir.mkdir(exist_ok=True)
count = len(list(workdir.iterdir()))
(workdir / f"start{count}.json").write_text(json.dumps(count))
"""
HANGS_AT_THE_SECOND_START = """
import pathlib, sys, time
workdir = pathlib.Path(sys.argv[1])
if workdir.exists() and workdir.name != "reference-own":
    time.sleep(60)
workdir.mkdir()
"""
FILLS_THE_DISK = """
import pathlib, sys
workdir = pathlib.Path(sys.argv[1])
workdir.mkdir(exist_ok=True)
try:
    (workdir / "end.json").write_text('"' + "x" * 100_000 + '"')
except OSError as error:
    raise OSError("The disk is full.")
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Returns what runs the programs."""
    folder = tmp_path_factory.mktemp("torture")
    (folder / "data").mkdir()
    data_dir = write_data(folder / "data", train=40)
    return Bench(folder, data_dir, Starter(folder))


def make_bench(tmp_path: Path, text: str) -> tuple[Bench, Program]:
    """Returns a program of this text, and what runs it."""
    script = tmp_path / "own.py"
    script.write_text(text)
    starter = Starter(tmp_path)
    return Bench(tmp_path, tmp_path, starter, patience=4), Program(
        "own", script
    )


@pytest.mark.slow
def test_a_killed_program_is_compared(bench: Bench) -> None:
    trial = kills.run_trial(bench, PROGRAM, 3)
    assert not trial.faults, trial.describe()
    assert any("SIGKILL" in event for event in trial.events)
    assert trial.seconds > 0


@pytest.mark.slow
def test_a_call_for_a_file_kills(bench: Bench) -> None:
    calls = bench.get_reference(PROGRAM).calls
    assert calls > 50
    for call, code in ((calls // 2, -signal.SIGKILL), (10 * calls, 0)):
        trial = Trial("kills", PROGRAM.name, call)
        with bench.make_workdir(trial) as workdir:
            ending = bench.start(
                PROGRAM, workdir, trial, Interruption(call=call)
            )
        assert ending.code == code


def test_a_program_that_is_stopped_is_compared(bench: Bench) -> None:
    trial = signals.run_trial(bench, PROGRAM, 1)
    assert not trial.faults, trial.describe()


def test_a_torn_snapshot_is_compared(bench: Bench) -> None:
    trial = torn.run_trial(bench, PROGRAM, 1)
    assert not trial.faults, trial.describe()


def test_a_full_disk_is_compared(bench: Bench) -> None:
    trial = disks.run_trial(bench, PROGRAM, 1)
    assert not trial.faults, trial.describe()


def test_mutated_files_are_read(bench: Bench) -> None:
    for name in ("idx", "snapshot", "events", "record"):
        (rest,) = files.run_trials(bench, name, 1, 4)
        assert (rest.count, rest.faults) == (4, [])


def test_a_process_that_ends_is_a_fault_of_one_seed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child ends at its third file; the next one goes on after that."""
    log = bench.folder / "files-idx.log"

    class Process:
        """Stands for a process that handles two files, or the rest."""

        def __init__(self, chunk: files.Chunk) -> None:
            first, end = chunk.seeds
            self.exitcode = -signal.SIGSEGV if first == 1 else 0
            done = range(first, 3 if first == 1 else end)
            log.write_text(
                "".join(
                    json.dumps(
                        {
                            "seed": n,
                            "loaded": n < 3,
                            "fault": None,
                            "seconds": 0.1,
                        }
                    )
                    + "\n"
                    for n in done
                )
            )

        def __enter__(self) -> "Process":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def join(self) -> None:
            pass

    (bench.folder / "samples").mkdir(exist_ok=True)
    monkeypatch.setattr(
        bench.starter, "process", lambda _, chunk: Process(chunk)
    )
    fault, rest = files.run_trials(bench, "idx", 1, 5)
    assert (fault.seed, fault.faults) == (
        3,
        ["the process ends with exit code -11"],
    )
    assert (rest.count, rest.events) == (4, ["2 loaded, 2 refused"])


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError(), ValueError("no name"), None]
)
def test_only_an_error_with_the_name_is_clear(
    tmp_path: Path, error: Exception | None
) -> None:
    def read(path: Path) -> None:
        if error is not None:
            raise error

    path = tmp_path / "file"
    path.write_bytes(b"content")
    loaded, fault = files.try_one(files.Format(read), path, random.Random(1))
    assert loaded == (fault is None) == (error is None)

    def name_it(path: Path) -> None:
        raise ValueError(f"{path} is broken")

    refused = files.try_one(files.Format(name_it), path, random.Random(1))
    assert refused == (False, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (COUNTS_STARTS, "resumed: /start1.json"),
        (HANGS_AT_THE_SECOND_START, "it hangs"),
    ],
)
def test_a_program_that_does_not_resume_is_a_fault(
    tmp_path: Path, text: str, fault: str
) -> None:
    bench, program = make_bench(tmp_path, text)
    trial = Trial("kills", "own", 1)
    with bench.make_workdir(trial) as workdir:
        bench.start(program, workdir, trial)
        bench.check_end(program, workdir, trial)
    assert fault in str(trial.faults)


def test_a_program_that_fails_has_no_reference(tmp_path: Path) -> None:
    bench, program = make_bench(tmp_path, "raise SystemExit('no data')")
    with pytest.raises(RuntimeError, match="own: exit code 1 no data"):
        bench.get_reference(program)


def test_an_error_without_a_name_is_a_fault_of_a_full_disk(
    tmp_path: Path,
) -> None:
    bench, program = make_bench(tmp_path, FILLS_THE_DISK)
    for seed in range(20):
        trial = disks.run_trial(bench, program, seed)
        if not trial.count:
            pytest.skip("only root mounts a tmpfs")
        if trial.faults:
            break
    assert "no file is named" in str(trial.faults)


def test_differences_are_found_to_the_bit() -> None:
    left = {"a": [np.float32([1, 2])], "b": 1.0, "c": float("nan")}
    same = {"a": [np.float32([1, 2])], "b": 1.0, "c": float("nan")}
    assert not endings.find_differences(left, same)
    for name, value in {
        "a": [np.float32([1, 2.0000002])],
        "b": 1,
        "c": None,
        "d": 0,
    }.items():
        assert endings.find_differences(left, {**same, name: value})
    content = {"a/state-00000001.npz": 1, "end.npz": 2, "run.json": 3}
    assert list(endings.leave_snapshots_out(content)) == ["run.json", "end.npz"]
    zero = np.zeros(1)
    assert endings.find_differences({"x": zero}, {"x": -zero})


def test_a_broken_file_is_found(tmp_path: Path) -> None:
    callbacks.TrainingState(tmp_path)
    assert endings.find_broken_files(tmp_path) == []
    for name in ("model.keras", "state-00000001.npz", "run.json"):
        (tmp_path / name).write_bytes(b"{")
    (tmp_path / ".partial-1.a-x").mkdir()
    (tmp_path / ".partial-1.a-x" / "run.json").write_bytes(b"{")
    assert len(endings.find_broken_files(tmp_path)) == 3


def test_the_seed_repeats_what_is_random() -> None:
    for mutate in (files.mutate_bytes, torn.damage):
        content = bytes(range(256))
        changed = [mutate(content, random.Random(5)) for _ in range(2)]
        assert changed[0] == changed[1] != content


def test_the_table_and_the_file_hold_the_faults(tmp_path: Path) -> None:
    trials = [
        Trial("kills", "a", 1, seconds=2.0),
        Trial("kills", "a", 2, ["killed"], ["it hangs"], 4.0),
        Trial("files", "idx", 1, count=100),
    ]
    assert torture.to_markdown(trials).splitlines()[2:] == [
        "| kills | a | 2 | 1 | 1 (2) | 4.0 |",
        "| files | idx | 100 | 100 | 0 | 0.0 |",
    ]
    assert trials[1].describe() == (
        "FAULT --kind=kills --program=a --seed=2 --trials=1: killed: it hangs"
    )
    torture.write_json(tmp_path / "trials.json", trials)
    content = json.loads((tmp_path / "trials.json").read_text())
    assert content["trials"][1]["faults"] == ["it hangs"]
    assert {"versions", "machine", "date", "command"} < set(content)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_forked_process_computes_what_an_interpreter_does(
    bench: Bench, name: str
) -> None:
    program = PROGRAMS[name]
    plain = Starter(bench.folder, fork=False)
    workdir = bench.folder / f"plain-{name}"
    ending = plain.start(program, workdir, bench.data_dir, limit=300)
    assert ending.code == 0, ending.lines
    expected = bench.get_reference(program).content
    assert not endings.find_differences(expected, endings.read_end(workdir))


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_killed(bench: Bench, name: str) -> None:
    trial = kills.run_trial(bench, PROGRAMS[name], 1)
    assert not trial.faults, trial.describe()


@pytest.mark.slow
def test_a_worker_of_a_cluster_is_signalled(bench: Bench) -> None:
    trial = cluster.run_trial(bench, 1)
    assert trial.events
