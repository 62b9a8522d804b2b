"""What all kinds of trials share: a reference, and the result of a trial."""

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import shutil
from typing import Any

from benchmarks.trials import endings
from benchmarks.trials.program_list import Program
from benchmarks.trials.starts import Ending
from benchmarks.trials.starts import Interruption
from benchmarks.trials.starts import Starter


@dataclasses.dataclass
class Trial:
    """One trial of a kind with a program, repeated by its seed.

    Args:
        kind: Such as "kills".
        program: Name of the program, or of the format of a file.
        seed: Seed of what is random in it.
        events: What happened, in order.
        faults: What should not have happened.
        seconds: Longest time of a start.
        count: Trials that this line stands for. Defaults to 1.
    """

    kind: str
    program: str
    seed: int
    events: list[str] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    count: int = 1

    def describe(self) -> str:
        """Returns one line for a trial with faults."""
        return (
            f"FAULT --kind={self.kind} --program={self.program} "
            f"--seed={self.seed} --trials=1: {'; '.join(self.events)}: "
            f"{'; '.join(self.faults[:4])}"
        )


@dataclasses.dataclass(frozen=True)
class Reference:
    """A run that was never interrupted.

    Args:
        content: What it leaves.
        seconds: How long it takes.
        calls: Calls for files that it makes.
        size: Bytes of its directory.
        files: Files and directories in it.
    """

    content: dict[str, Any]
    seconds: float
    calls: int
    size: int
    files: int


class Bench:
    """Runs programs in directories below one folder.

    Args:
        folder: An existing folder.
        data_dir: Directory of the images.
        starter: Starts the processes.
        patience: Seconds after which a start hangs; more if the reference is
            slow. Defaults to 120.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        data_dir: pathlib.Path,
        starter: Starter,
        *,
        patience: float = 120.0,
    ) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self.starter = starter
        self.patience = patience
        self._references: dict[str, Reference] = {}

    def get_reference(self, program: Program) -> Reference:
        """Returns the run that is not interrupted, which is run once.

        Raises:
            RuntimeError: If it fails.
        """
        if program.name not in self._references:
            self._references[program.name] = self._make_reference(program)
        return self._references[program.name]

    def _make_reference(self, program: Program) -> Reference:
        workdir = self.folder / f"reference-{program.name}"
        ending = self.starter.start(
            program,
            workdir,
            self.data_dir,
            limit=5 * self.patience,
            count_calls=True,
        )
        if ending.code != 0:
            lines = "\n".join(ending.lines)
            raise RuntimeError(f"{program.name}: {ending.describe()}\n{lines}")
        paths = list(workdir.rglob("*"))
        return Reference(
            endings.read_end(workdir),
            ending.seconds,
            ending.calls,
            sum(path.stat().st_size for path in paths),
            len(paths),
        )

    def start(
        self,
        program: Program,
        workdir: pathlib.Path,
        trial: Trial,
        interruption: Interruption | None = None,
    ) -> Ending:
        """Starts a program, and notes how it ends in the trial."""
        reference = self.get_reference(program)
        ending = self.starter.start(
            program,
            workdir,
            self.data_dir,
            interruption,
            limit=max(self.patience, 10 * reference.seconds),
        )
        trial.seconds = max(trial.seconds, ending.seconds)
        what = str(interruption) if interruption else "to its end"
        trial.events.append(f"{what}: {ending.describe()}")
        if ending.code is None:
            trial.faults.append("it hangs")
        return ending

    def check_end(
        self,
        program: Program,
        workdir: pathlib.Path,
        trial: Trial,
        *,
        snapshots: bool = True,
    ) -> None:
        """Starts a program until its end, twice, and compares what it leaves.

        The second start has nothing to do.

        Args:
            program: The program.
            workdir: Its directory.
            trial: Where faults are noted.
            snapshots: Whether the snapshots are compared, too.
        """
        for name in ("resumed", "started again after its end"):
            ending = self.start(program, workdir, trial)
            if ending.code != 0:
                trial.faults.append(f"{name}: {ending.describe()}")
                return
            try:
                found = endings.read_end(workdir)
            except Exception as error:  # noqa: BLE001 (a broken file)
                trial.faults.append(f"{name}: {type(error).__name__} {error}")
                return
            wanted = self.get_reference(program).content
            if not snapshots:
                wanted = endings.leave_snapshots_out(wanted)
                found = endings.leave_snapshots_out(found)
            lines = endings.find_differences(wanted, found)
            trial.faults += [f"{name}: {line}" for line in lines[:5]]
            if lines:
                return

    @contextlib.contextmanager
    def make_workdir(self, trial: Trial) -> Iterator[pathlib.Path]:
        """Yields a directory that does not exist yet, and removes it."""
        name = f"{trial.kind}-{trial.program}-{trial.seed}"
        workdir = self.folder / name
        try:
            yield workdir
        finally:
            shutil.rmtree(workdir, ignore_errors=True)
