"""Connects the workers of a cluster before TensorFlow does.

The workers meet at the ports that TensorFlow uses later. A connection stays
open when its port is closed, so the connections of the meeting remain.
"""

import asyncio
from collections.abc import Sequence
import contextlib
import errno
import json
import time
from typing import Any

from absl import logging

from keras_port.training import Links
from keras_port.training import describe

# Seconds between two calls of a worker that has not answered.
PAUSE = 0.2
# Seconds that an answer may take.
ANSWER = 5.0
# Seconds between two messages that name who is missing.
REPORT = 10.0
# Bytes of the first line. A list of 1,000 workers has 30,000.
HELLO_LIMIT = 1 << 16
# And of the lines after it.
LIMIT = 1 << 20
PROTOCOL = 1
MAGIC = b"keras_port worker "
STRANGE = (
    "answers, but not like a worker that is starting: it is training already, "
    "or the port belongs to another program"
)


def meet(addresses: Sequence[str], index: int, timeout: float) -> Links:
    """Connects this worker with all others, and returns the connections.

    TensorFlow itself would wait forever, without a message.

    Args:
        addresses: Addresses of all workers, `"host:port"`.
        index: Position of this worker in the list.
        timeout: Largest number of seconds to wait.

    Raises:
        TimeoutError: Names the workers that have not started.
        OSError: If the port of this worker is in use.
        ValueError: If another worker has a different list or the same
            position.
        RuntimeError: If a worker ends while the others wait.
    """
    links = Links(addresses, index)
    meeting = Meeting(links, timeout)
    try:
        links.run(meeting.start())
        links.run(meeting.wait())
        # When all have this value, all have met all.
        links.gather("the meeting", None)
    except BaseException as error:
        links.give_reason(describe(error))
        links.run(meeting.stop())
        links.close()
        raise
    links.run(meeting.stop())
    return links


class Meeting:
    """The meeting of the workers, seen from one of them.

    Every worker calls every other. The call of the worker that comes later in
    the list remains as their connection; the other call only compares the
    lists, so that a list in another order is found.

    Args:
        links: Takes the connections.
        timeout: Largest number of seconds to wait.
    """

    def __init__(self, links: Links, timeout: float) -> None:
        self._links = links
        self._timeout = timeout
        self._seen: dict[int, str] = {}
        self._sessions: dict[int, str] = {}
        self._changed = asyncio.Event()
        self._error: ValueError | None = None
        self._server: asyncio.Server | None = None
        self._callers: list[asyncio.Task[None]] = []
        self._hello = {
            "protocol": PROTOCOL,
            "workers": links.addresses,
            "index": links.index,
            # Tells two processes with the same position apart.
            "session": f"{time.time_ns():x}-{id(self):x}",
        }

    async def start(self) -> None:
        """Listens at the port of this worker, and calls the others.

        Raises:
            OSError: If the port is in use.
        """
        address = self._links.addresses[self._links.index]
        host, port = split_address(address)
        try:
            self._server = await listen(self._answer, host, port)
        except OSError as error:
            raise OSError(
                f"Port {port} of this worker, {address}, cannot be used: "
                f"{error}. Is another worker or program running there? Choose "
                "another one for all workers."
            ) from error
        self._callers = [
            asyncio.create_task(self._call(other))
            for other in range(len(self._links.addresses))
            if other != self._links.index
        ]

    async def wait(self) -> None:
        """Waits until this worker is connected with all others.

        Raises:
            TimeoutError: Names the workers that have not started.
            ValueError: If another worker has a different list or the same
                position.
            RuntimeError: If a worker ends while the others wait.
        """
        started = time.monotonic()
        reported = 0.0
        while missing := self._find_missing():
            if self._error is not None:
                raise self._error
            self._links.check()
            passed = time.monotonic() - started
            if passed >= self._timeout:
                raise TimeoutError(self._describe(missing))
            if passed - reported >= REPORT:
                reported = passed
                names = ", ".join(self._links.name(i) for i in missing)
                logging.warning(
                    "Waiting for %s: %.0f of %g s.",
                    names,
                    passed,
                    self._timeout,
                )
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._changed.wait(), min(PAUSE, self._timeout - passed)
                )
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        """Frees the port for TensorFlow."""
        for caller in self._callers:
            caller.cancel()
        if self._server is not None:
            self._server.close()

    def _find_missing(self) -> list[int]:
        return [
            other
            for other in range(len(self._links.addresses))
            if other != self._links.index and not self._links.has(other)
        ]

    def _describe(self, missing: Sequence[int]) -> str:
        workers = "; ".join(
            f"{self._links.name(i)} {self._seen.get(i, 'has not started')}"
            for i in missing
        )
        return (
            f"Worker {self._links.index} has waited {self._timeout:g} s for "
            f"{len(missing)} of {len(self._links.addresses)} workers: "
            f"{workers}. Start all workers together, look whether this machine "
            "reaches them, or wait longer by `timeout`."
        )

    async def _call(self, other: int) -> None:
        """Calls another worker until there is a connection."""
        host, port = split_address(self._links.addresses[other])
        is_kept = other < self._links.index
        while not self._links.has(other) and self._error is None:
            try:
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection(host, port, limit=LIMIT),
                    ANSWER,
                )
            except (OSError, TimeoutError) as error:
                self._note_failure(other, error)
                await asyncio.sleep(PAUSE)
                continue
            # Also when this worker leaves while it waits for the answer.
            with contextlib.ExitStack() as stack:
                stack.callback(writer.close)
                writer.write(pack({**self._hello, "keep": is_kept}))
                hello = await read_hello(reader)
                if hello is None or hello.get("index") != other:
                    # A socket that has reached itself is neither.
                    if hello is None:
                        self._seen[other] = STRANGE
                    elif hello.get("workers") != self._links.addresses:
                        self._check(hello)
                elif self._check(hello) and is_kept:
                    stack.pop_all()
                    self._keep(hello, reader, writer)
                    return
            await asyncio.sleep(5 * PAUSE)

    def _note_failure(self, other: int, error: Exception) -> None:
        if self._seen.get(other) == STRANGE:
            return
        # A host with several numbers has one error that quotes theirs.
        if f"[Errno {errno.ECONNREFUSED}]" in str(error):
            self._seen.pop(other, None)
        else:
            text = getattr(error, "strerror", None) or "no answer"
            self._seen[other] = f"cannot be reached: {text}"

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answers a call."""
        with contextlib.ExitStack() as stack:
            stack.callback(writer.close)
            hello = await read_hello(reader)
            if hello is None:
                return
            writer.write(pack(self._hello))
            if self._check(hello) and hello.get("keep"):
                stack.pop_all()
                self._keep(hello, reader, writer)
                return
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.drain(), ANSWER)

    def _keep(
        self,
        hello: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._links.add(hello["index"], reader, writer)
        self._changed.set()

    def _check(self, hello: dict[str, Any]) -> bool:
        """Tells whether a hello is of this cluster, and notes an error."""
        try:
            self._compare(hello)
        except ValueError as error:
            self._error = self._error or error
            self._changed.set()
        return self._error is None

    def _compare(self, hello: dict[str, Any]) -> None:
        own, index = self._links.addresses, hello.get("index")
        if hello.get("protocol") != PROTOCOL:
            raise ValueError(
                f"Worker {index!r} has another version of keras_port. Install "
                "the same one on all machines."
            )
        if hello.get("workers") != own:
            raise ValueError(
                f"Worker {self._links.index} has the list of workers {own}, "
                f"and the one that calls itself worker {index!r} has "
                f"{hello.get('workers')}. Give all workers the same list, in "
                "the same order."
            )
        if not isinstance(index, int) or not 0 <= index < len(own):
            raise ValueError(f"A worker calls itself worker {index!r}.")
        session = self._sessions.setdefault(index, str(hello.get("session")))
        if index == self._links.index or session != hello.get("session"):
            raise ValueError(
                f"Two processes say that they are {self._links.name(index)}. "
                "Give every worker its own index, and start all of them anew "
                "when one has ended."
            )


async def listen(answer: Any, host: str, port: int) -> asyncio.Server:
    """Listens at one address of this machine if `host` is one, else at all."""
    if is_numeric(host):
        try:
            return await asyncio.start_server(
                answer, host, port, limit=LIMIT, reuse_address=True
            )
        except OSError as error:
            # Behind a router or in a container it is not this machine's.
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    return await asyncio.start_server(
        answer, None, port, limit=LIMIT, reuse_address=True
    )


def is_numeric(host: str) -> bool:
    """Tells whether a host is given as a number and not as a name."""
    return ":" in host or host.replace(".", "").isdecimal()


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def pack(hello: dict[str, Any]) -> bytes:
    """Returns a first line, which tells a worker from other programs."""
    return MAGIC + json.dumps(hello).encode() + b"\n"


async def read_hello(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Returns the first line of a worker, `None` if it is none."""
    try:
        start = await asyncio.wait_for(reader.readexactly(len(MAGIC)), ANSWER)
        if start != MAGIC:
            return None
        line = await asyncio.wait_for(reader.readline(), ANSWER)
        hello = json.loads(line) if len(line) <= HELLO_LIMIT else None
    except (OSError, TimeoutError, EOFError, ValueError):
        return None
    return hello if isinstance(hello, dict) else None
