"""A disk without room, or without inodes, that gets room later."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import random
import re
import subprocess
import sys

from benchmarks.trials import endings
from benchmarks.trials.program_list import Program
from benchmarks.trials.starts import Ending
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Reference
from benchmarks.trials.trial import Trial

ENOUGH = "size=4g,nr_inodes=100000"
KIB = 1024
# Last line of the traceback of a program that does not catch the error.
RAISED = re.compile(r"(\w+\.)*(OSError|\w*Error): ")


def run_trial(bench: Bench, program: Program, seed: int) -> Trial:
    """Fills up the disk of a program, makes room, and resumes it."""
    generator = random.Random(f"disks {program.name} {seed}")
    trial = Trial("disks", program.name, seed)
    options = choose_limits(bench.get_reference(program), generator)
    disk = bench.folder / f"disk-{program.name}-{seed}"
    with mount(disk, options) as is_mounted:
        if not is_mounted:
            print("disks: skipped, since only root mounts a tmpfs.")
            trial.count = 0
            return trial
        workdir = disk / "run"
        trial.events.append(options)
        ending = bench.start(program, workdir, trial)
        trial.faults += check_failure(program, workdir, ending)
        trial.faults += endings.find_broken_files(disk)
        remount(disk)
        bench.check_end(program, workdir, trial)
    return trial


def choose_limits(reference: Reference, generator: random.Random) -> str:
    """Returns the options of a disk that is too small for most of a run."""
    if generator.random() < 0.35:
        return f"nr_inodes={generator.randint(2, reference.files + 8)}"
    size = int(reference.size / KIB * generator.random() * 1.5)
    return f"size={max(4, size)}k"


def check_failure(
    program: Program, workdir: pathlib.Path, ending: Ending
) -> list[str]:
    """Returns what is wrong with the end of a program on a full disk."""
    if ending.code == 0:
        return []  # There was room enough.
    if ending.code != 1:
        return [ending.describe()]
    lines = ending.errors
    if program.is_example and len(lines) != 1:
        return [f"{len(lines)} lines on stderr: {lines}"]
    if not program.is_example and not (lines and RAISED.match(lines[-1])):
        return [f"no error at the end of stderr: {lines[-3:]}"]
    if str(workdir.parent) not in lines[-1]:
        return [f"no file is named: {lines[-1]}"]
    return []


@contextlib.contextmanager
def mount(disk: pathlib.Path, options: str) -> Iterator[bool]:
    """Mounts a disk in memory; yields `False` if that is not allowed."""
    disk.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        yield False
        return
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            # Lazily, if a process that is being killed has a file open.
            subprocess.run(["umount", "-l", str(disk)], check=True)


def remount(disk: pathlib.Path) -> None:
    """Makes room."""
    subprocess.run(["mount", "-o", f"remount,{ENOUGH}", str(disk)], check=True)
