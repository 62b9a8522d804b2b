"""Peers as processes that stay alive, so that turns do not pay for imports."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
from typing import Any

from absl import flags

from benchmarks import report
from benchmarks.peers.work import Work

ROOT = pathlib.Path(__file__).parents[2]
WORKER = pathlib.Path(__file__).with_name("worker.py")
# The environments that `setup_peers.py` creates, by the name of their flag.
ENVIRONMENTS = ("pytorch", "jax")
FOLDER = ROOT / "build" / "peers"
SETUP = "python benchmarks/setup_peers.py"


# Seconds without an answer after which a peer counts as lost. The longest
# measurement of the benchmarks takes a few minutes.
SILENCE = 900.0


class MissingPeerError(report.LostKindError):
    """A peer cannot run here; the message says why in one line."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """Where the code of a peer is.

    Args:
        function: `module:function` in `benchmarks/peers`, which takes a `Work`
            and the images and returns a measurement.
        environment: One of `ENVIRONMENTS`, or None for this process' own.
    """

    function: str
    environment: str | None = None


def define_flags() -> None:
    """Defines the flags with the Pythons of the peers' environments."""
    for name in ENVIRONMENTS:
        flags.DEFINE_string(
            f"{name}_python",
            None,
            f"Python of an environment with {name}. Defaults to the one that "
            f"`{SETUP}` creates.",
        )


def find_python(environment: str | None) -> str:
    """Returns the Python of an environment.

    Raises:
        MissingPeerError: If the environment does not exist.
    """
    if environment is None:
        return sys.executable
    given = getattr(flags.FLAGS, f"{environment}_python", None)
    path = pathlib.Path(given or FOLDER / environment / "bin" / "python")
    if not path.exists():
        raise MissingPeerError(
            f"there is no {environment}; `{SETUP}` installs it"
        )
    return str(path)


class Peer:
    """A process that measures one kind repeatedly.

    Args:
        kind: Where its code is.

    Attributes:
        versions: Versions of what it imported; known after the first reply.
        pid: Id of the process.

    Raises:
        MissingPeerError: If its environment does not exist. From the other
            methods: if the process ended with an error, or does not answer.
    """

    def __init__(self, kind: Kind) -> None:
        python = find_python(kind.environment)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (kept open)
        self._process = subprocess.Popen(
            [python, str(WORKER), kind.function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ
            | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.pid = self._process.pid
        self.versions: dict[str, str] = {}

    def make(self, work: Work) -> None:
        """Builds and warms up what `measure` measures."""
        if not self.versions:
            self.versions = self._reply()["versions"]
        self._ask(dataclasses.asdict(work))

    def measure(self) -> float:
        """Returns the seconds of one measurement."""
        return float(self._ask(None)["seconds"])

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        # A process that ended is noticed by its missing reply.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # Every answer is a line that is written at once.
        if not select.select([self._process.stdout], [], [], SILENCE)[0]:
            raise MissingPeerError(f"it has not answered for {SILENCE:g} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            *_, last = ["it said nothing", *self._errors.read().splitlines()]
            raise MissingPeerError(f"it ended: {last}")
        reply: dict[str, Any] = json.loads(line)
        return reply


class Peers:
    """All peers of a benchmark, with a note for every missing one.

    Args:
        kinds: The kinds by name.

    Attributes:
        notes: One line for every missing kind, with the reason.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.notes: list[str] = []
        self.peers: dict[str, Peer] = {}
        # All at once, so that they import their libraries in parallel.
        for name, kind in kinds.items():
            with self._note_missing(name):
                self.peers[name] = Peer(kind)

    def make(
        self, work: Work, names: Iterable[str] = ()
    ) -> dict[str, Callable[[], float]]:
        """Lets the peers build their work, one after the other.

        Args:
            work: What every measurement consists of.
            names: Kinds to leave out.

        Returns:
            Functions that measure the seconds, by kind, without missing kinds.
        """
        ready = {}
        for name in [name for name in self.peers if name not in set(names)]:
            report.show_progress(f"{name} prepares")
            with self._note_missing(name):
                self.peers[name].make(work)
                ready[name] = functools.partial(self._measure, name)
        return ready

    def _measure(self, name: str) -> float:
        """Measures a kind once, and notes if it is lost."""
        try:
            return self.peers[name].measure()
        except MissingPeerError as error:
            self._leave_out(name, error)
            raise

    def versions(self) -> dict[str, str]:
        """Returns the versions of everything the peers imported."""
        found: dict[str, str] = {}
        for peer in self.peers.values():
            found |= {k: v for k, v in peer.versions.items() if k not in found}
        return found

    def close(self) -> None:
        """Ends the processes."""
        for peer in self.peers.values():
            peer.close()

    @contextlib.contextmanager
    def _note_missing(self, name: str) -> Iterator[None]:
        try:
            yield
        except MissingPeerError as error:
            self._leave_out(name, error)

    def _leave_out(self, name: str, error: MissingPeerError) -> None:
        """Notes why a kind is missing, and ends its process."""
        self.notes.append(f"Left out: {name}, since {error}.")
        if name in self.peers:
            self.peers.pop(name).close()


@contextlib.contextmanager
def start_peers(kinds: Mapping[str, Kind]) -> Iterator[Peers]:
    """Starts the peers and ends them after the block."""
    peers = Peers(kinds)
    try:
        yield peers
    finally:
        peers.close()
