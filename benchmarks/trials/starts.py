"""Starts a program, interrupts it, and says how it has ended."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from typing import Any

from benchmarks.trials import runner
from benchmarks.trials.program_list import Program

ROOT = pathlib.Path(__file__).parents[2]
# Lines on stderr that tell of no error.
NEWS = re.compile(
    r"^\s*$|Step [\d,]+: |Resum|.* is finished|The training in |Stopp|"
    r".*(SIGTERM|SIGINT)|.*Warning: |  |WARNING: All log messages|[IW]\d{4} |"
    r".* has \S+ from step |INFO:tensorflow|Using MirroredStrategy|"
    r".*The snapshot before it is used|.*is damaged at"
)


@dataclasses.dataclass(frozen=True)
class Interruption:
    """A signal to a program.

    Args:
        seconds: From its start to the signal, if the time decides.
        call: Number of the call for a file at which it is killed, if that
            decides.
        after: Whether it is killed after the call, not before it.
        number: The signal.
        to_group: Whether the whole group of processes gets it.
    """

    seconds: float | None = None
    call: int | None = None
    after: bool = False
    number: int = signal.SIGKILL
    to_group: bool = False

    def __str__(self) -> str:
        name = signal.Signals(self.number).name
        if self.call is None:
            return f"{name} after {self.seconds:.2f} s"
        return f"{name} {'after' if self.after else 'before'} call {self.call}"


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a program has ended.

    Args:
        code: Its exit code, the negative number of a signal, or `None` if it
            has not ended in time.
        seconds: From its start to its end.
        lines: What it has said on stderr.
        calls: Calls for files that it has made, if they were counted.
        handled: Whether it had a handler for the signal when it got it.
    """

    code: int | None
    seconds: float
    lines: list[str]
    calls: int = 0
    handled: bool = False

    @property
    def errors(self) -> list[str]:
        """Lines on stderr, without news."""
        return [line for line in self.lines if not NEWS.match(line)]

    def describe(self) -> str:
        """Returns the exit code, with the last line if it is an error."""
        code = "no end" if self.code is None else f"exit code {self.code}"
        last = self.lines[-1:] if self.code not in (0, -9) else []
        return " ".join([code, *last])[:400]


class Starter:
    """Starts programs in processes of their own.

    A process that is forked from one that has imported Keras starts in 0.1 s
    instead of 4 s, and computes the same bits.

    Args:
        folder: Directory for what the programs print.
        fork: Whether the processes are forked. Defaults to `True`.
    """

    def __init__(self, folder: pathlib.Path, *, fork: bool = True) -> None:
        self.folder = folder
        self.fork = fork
        self._context = multiprocessing.get_context("forkserver")
        self._count = 0
        if fork:
            paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
            self._context.set_forkserver_preload(["benchmarks.trials.preload"])

    def start(
        self,
        program: Program,
        workdir: pathlib.Path,
        data_dir: pathlib.Path,
        interruption: Interruption | None = None,
        *,
        limit: float,
        count_calls: bool = False,
    ) -> Ending:
        """Starts a program and waits for its end.

        Args:
            program: The program.
            workdir: Its directory.
            data_dir: Directory of its images.
            interruption: The signal. Defaults to `None`: none.
            limit: Seconds after which it is killed.
            count_calls: Whether its calls for files are counted.
        """
        self._count += 1
        logs = self.folder / f"start-{self._count}"
        watched = interruption is not None and interruption.call is not None
        task = runner.Task(
            str(program.script),
            program.get_arguments(workdir, data_dir),
            str(workdir),
            str(logs),
            watch=watched or count_calls,
            kill_at=interruption.call if interruption else None,
            after=bool(interruption and interruption.after),
        )
        started = time.monotonic()
        handled = False
        with self.process(runner.run, task) as process:
            if interruption is not None and interruption.seconds is not None:
                process.join(interruption.seconds)
                handled = send(process.pid, interruption)
            process.join(limit)
            in_time = process.exitcode is not None
        seconds = time.monotonic() - started
        calls = logs.with_suffix(".calls")
        ending = Ending(
            process.exitcode if in_time else None,
            round(seconds, 2),
            read_lines(logs.with_suffix(".err")),
            int(calls.read_text()) if calls.exists() else 0,
            handled,
        )
        for path in self.folder.glob(f"{logs.name}.*"):
            path.unlink()
        return ending

    @contextlib.contextmanager
    def process(
        self, target: Callable[[Any], None], argument: Any
    ) -> Iterator[Any]:
        """Starts a function in a process, which is killed after the block."""
        process: Any
        if self.fork or target is not runner.run:
            process = self._context.Process(target=target, args=(argument,))
            process.start()
        else:
            process = PlainProcess(argument)
        try:
            yield process
        finally:
            if process.exitcode is None:
                process.kill()
                process.join()


class PlainProcess:
    """A new interpreter, with the methods of a forked process."""

    def __init__(self, task: runner.Task) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.trials.runner"),
                json.dumps(dataclasses.asdict(task)),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.pid = self._process.pid

    @property
    def exitcode(self) -> int | None:
        """Exit code, `None` while it runs."""
        return self._process.poll()

    def join(self, timeout: float | None = None) -> None:
        """Waits for the end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def kill(self) -> None:
        """Kills it."""
        self._process.kill()


def send(pid: int, interruption: Interruption) -> bool:
    """Sends the signal; tells whether the process has a handler for it."""
    handled = has_handler(pid)
    with contextlib.suppress(ProcessLookupError):
        if interruption.to_group:
            os.killpg(pid, interruption.number)
        else:
            os.kill(pid, interruption.number)
    return handled


def has_handler(pid: int) -> bool:
    """Tells whether a process has a handler for SIGTERM."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (OSError, ValueError):
        return False
    found = re.search(r"^SigCgt:\s+([0-9a-f]+)$", text, re.M)
    return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def read_lines(path: pathlib.Path) -> list[str]:
    """Returns the lines of a file, none if there is no file."""
    if not path.exists():
        return []
    return path.read_text("utf-8", "replace").splitlines()
