"""SIGTERM or SIGINT to all processes of a program, as schedulers send it."""

import random
import signal

from benchmarks.trials.program_list import Program
from benchmarks.trials.starts import Interruption
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Trial

MOST_SIGNALS = 2
AT_ONCE = "Stopped at once. The same command resumes."


def run_trial(bench: Bench, program: Program, seed: int) -> Trial:
    """Stops a program once or twice, and lets it go on to its end."""
    generator = random.Random(f"signals {program.name} {seed}")
    trial = Trial("signals", program.name, seed)
    reference = bench.get_reference(program)
    last = {name for name in reference.content if "state-" in name}
    in_last_step = False
    with bench.make_workdir(trial) as workdir:
        for _ in range(generator.randint(1, MOST_SIGNALS)):
            stop = Interruption(
                seconds=generator.random() * reference.seconds,
                number=generator.choice([signal.SIGTERM, signal.SIGINT]),
                to_group=True,
            )
            ending = bench.start(program, workdir, trial, stop)
            if ending.handled and ending.code != 0:
                trial.faults.append(f"in `fit`: {ending.describe()}")
            elif ending.code not in (0, -stop.number) and not is_interrupt(
                ending.lines
            ):
                trial.faults.append(f"outside of `fit`: {ending.describe()}")
            # The snapshot of a stop in the last step is that of an epoch
            # that has not ended. The next start ends it, and has no step left
            # after which to take another one.
            in_last_step |= any((workdir / name).exists() for name in last)
        bench.check_end(program, workdir, trial, snapshots=not in_last_step)
    return trial


def is_interrupt(lines: list[str]) -> bool:
    """Tells whether Ctrl-C ended a process outside of `fit`.

    There Python raises `KeyboardInterrupt`.
    """
    last = lines[-1] if lines else ""
    return last.endswith(AT_ONCE) or last.startswith("KeyboardInterrupt")
