"""The newest snapshot is damaged, as a disk or another program leaves it."""

import pathlib
import random

from benchmarks.trials import endings
from benchmarks.trials import kills
from benchmarks.trials.program_list import Program
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Trial
from keras_port.checkpoints import read_snapshot

MESSAGE = "The snapshot before it is used"


def run_trial(bench: Bench, program: Program, seed: int) -> Trial:
    """Interrupts a program, damages its newest snapshot, and resumes it."""
    generator = random.Random(f"torn {program.name} {seed}")
    trial = Trial("torn", program.name, seed)
    reference = bench.get_reference(program)
    with bench.make_workdir(trial) as workdir:
        kill = kills.choose_kill(reference, generator)
        bench.start(program, workdir, trial, kill)
        newest = find_newest_of_two(workdir)
        if newest is None:
            bench.start(program, workdir, trial)
            newest = find_newest_of_two(workdir)
        if newest is None:
            trial.faults.append("there are no two snapshots")
            return trial
        # A run with results does not read its snapshots.
        (workdir / "results.json").unlink(missing_ok=True)
        content, how = damage(newest.read_bytes(), generator)
        newest.write_bytes(content)
        trial.events.append(f"{newest.name} {how}")
        broken = not is_readable(newest)
        name = newest.relative_to(workdir)
        ending = bench.start(program, workdir, trial)
        said = any(
            str(name) in line and MESSAGE in line for line in ending.lines
        )
        if broken and not said:
            trial.faults.append(f"no message: {ending.lines[-3:]}")
        bench.check_end(program, workdir, trial)
    return trial


def find_newest_of_two(workdir: pathlib.Path) -> pathlib.Path | None:
    """Returns a newest snapshot that has one of the same `fit` before it."""
    for directory in sorted(workdir.rglob("*"), reverse=True):
        found = sorted(directory.glob("state-*.npz"), key=endings.order)
        if len(found) > 1 and (
            endings.order(found[-1])[0] == endings.order(found[-2])[0]
        ):
            return found[-1]
    return None


def damage(content: bytes, generator: random.Random) -> tuple[bytes, str]:
    """Returns a damaged file, and what was done to it."""
    start, end = sorted(generator.randrange(len(content)) for _ in range(2))
    how = generator.choice(["cut", "zeroed", "garbage", "empty", "flipped"])
    data = bytearray(content)
    if how == "cut":
        del data[start:]
    elif how == "zeroed":
        data[start:end] = bytes(end - start)
    elif how == "garbage":
        data[start:end] = generator.randbytes(end - start)
    elif how == "empty":
        data.clear()
    else:
        data[start] ^= 1 << generator.randrange(8)
    return bytes(data), f"{how} at {start}:{end}"


def is_readable(path: pathlib.Path) -> bool:
    """Tells whether a snapshot is complete."""
    try:
        read_snapshot(path)
    except ValueError:
        return False
    return True
