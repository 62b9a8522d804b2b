"""SIGKILL at a random time, or at a random call for a file."""

import random
import signal

from benchmarks.trials.program_list import Program
from benchmarks.trials.starts import Interruption
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Reference
from benchmarks.trials.trial import Trial

MOST_KILLS = 3


def run_trial(bench: Bench, program: Program, seed: int) -> Trial:
    """Kills a program one to three times, and lets it go on to its end."""
    generator = random.Random(f"kills {program.name} {seed}")
    trial = Trial("kills", program.name, seed)
    reference = bench.get_reference(program)
    with bench.make_workdir(trial) as workdir:
        for _ in range(generator.randint(1, MOST_KILLS)):
            kill = choose_kill(reference, generator)
            ending = bench.start(program, workdir, trial, kill)
            if ending.code == 0:
                break
            if ending.code != -signal.SIGKILL:
                trial.faults.append(ending.describe())
                return trial
        bench.check_end(program, workdir, trial)
    return trial


def choose_kill(reference: Reference, generator: random.Random) -> Interruption:
    """Returns a kill at an instant of a run that is not interrupted."""
    if generator.random() < 0.5:
        return Interruption(seconds=generator.random() * reference.seconds)
    return Interruption(
        call=generator.randint(1, reference.calls),
        after=generator.random() < 0.5,
    )
