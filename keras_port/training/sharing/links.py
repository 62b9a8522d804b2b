"""Connections over which the workers of a cluster know of each other.

TensorFlow's collectives wait for a worker that has ended, some of them for
ever. So every worker has a connection to every other, from the meeting before
TensorFlow starts to the end of the process. A lost connection names the worker
that is gone.

The messages are lines of JSON. All of it runs in an asyncio loop in a thread
of its own, because the main thread may be inside TensorFlow.
"""

import asyncio
import atexit
from collections.abc import Coroutine
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
from typing import Any
from typing import TypeVar

from absl import logging

# Seconds between two signs of life, and without one until a worker is lost.
HEARTBEAT = 1.0
SILENCE = 30.0
# Seconds that the main thread has to raise an error by itself.
GRACE = 7.0
# The same for a worker that has not trained yet and may not have to.
START_GRACE = 30.0
# Seconds between two messages that say for whom this worker waits.
REPORT = 10.0
# Seconds in which a connection says why TensorFlow's has failed.
EXPLAIN = 5.0
# Bytes of a line.
LIMIT = 1 << 20
# Characters of a text that another worker has sent.
TEXT = 400

Result = TypeVar("Result")


class LostWorkerError(RuntimeError):
    """Raised when another worker has ended and is still needed."""


@dataclasses.dataclass
class Peer:
    """Another worker.

    Args:
        writer: Sends to it.
        heard: Time of the last line from it.
        reason: Why it is about to end, as it says itself.
        has_left: Whether it has ended in order.
    """

    writer: asyncio.StreamWriter
    heard: float
    reason: str = ""
    has_left: bool = False


class Links:
    """The connections of this worker to all others.

    When a worker is lost, the next call that needs it raises a
    `LostWorkerError`. The main thread may be in a collective that never
    returns; then the process is ended after `GRACE` seconds, with one line on
    stderr and exit code 1.

    Args:
        addresses: Addresses of all workers, `"host:port"`.
        index: Position of this worker in the list.

    Attributes:
        addresses: As given.
        index: As given.
    """

    def __init__(self, addresses: Sequence[str], index: int) -> None:
        self.addresses = list(addresses)
        self.index = index
        self._peers: dict[int, Peer] = {}
        self._values: dict[tuple[int, int], tuple[str, Any]] = {}
        self._gathered = 0
        self._loss: tuple[int, str] | None = None
        self._own_reason = ""
        # The main thread knows, so it does not have to be ended.
        self._is_ending = False
        # Before the first training every worker is needed.
        self._is_needing = True
        self._has_trained = False
        self._needs = 0
        self._changed = threading.Condition()
        self._process = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="keras_port-links", daemon=True
        )
        self._thread.start()
        atexit.register(self.close)

    # For the meeting, which makes the connections.

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Runs a coroutine in the thread of the connections."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def add(
        self,
        index: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Watches a connection. To be called in the thread of `run`."""
        if not self._peers:
            self._start(self._watch())
        self._peers[index] = Peer(writer, time.monotonic())
        self._start(self._listen(index, reader))

    def has(self, index: int) -> bool:
        """Tells whether there is a connection to a worker."""
        return index in self._peers

    def name(self, index: int) -> str:
        """Returns how messages name a worker."""
        return f"worker {index} ({self.addresses[index]})"

    def get_files(self) -> dict[int, str]:
        """Returns the numbers of the connections' files, with names."""
        return {
            peer.writer.get_extra_info("socket").fileno(): self.name(index)
            for index, peer in self._peers.items()
        }

    # For the main thread.

    def check(self) -> None:
        """Raises `LostWorkerError` if a worker is lost, or has ended."""
        with self._changed:
            error = self._find_error()
        if error is not None:
            self._is_ending = True
            raise error

    @contextlib.contextmanager
    def needing_all(self) -> Iterator[None]:
        """Marks a block that no worker can do alone.

        A worker may end in order before the others, which still write files
        or end, too. Only within such a block that is an error.
        """
        self.check()
        self._has_trained = True
        self._needs += 1
        self._is_needing = True
        try:
            yield
        finally:
            self._is_needing = False

    def gather(self, name: str, value: Any) -> list[Any]:
        """Returns the values of all workers, in their order.

        All workers must call it, in the same order.

        Args:
            name: What the value is, for messages.
            value: What JSON can hold.

        Raises:
            LostWorkerError: If a worker has ended.
            ValueError: If another worker gathers something else.
        """
        self._gathered += 1
        turn = self._gathered
        self._tell({"value": [turn, name, value]})
        others = [i for i in range(len(self.addresses)) if i != self.index]
        found = {self.index: (name, json.loads(json.dumps(value)))}
        while True:
            with self._changed:
                for other in others:
                    if (other, turn) in self._values:
                        found[other] = self._values.pop((other, turn))
                missing = [i for i in others if i not in found]
                error = self._find_error() if missing else None
                if missing and error is None and self._changed.wait(REPORT):
                    continue
            if error is not None:
                self._is_ending = True
                raise error
            if not missing:
                break
            logging.warning(
                "Waiting for %s.", ", ".join(self.name(i) for i in missing)
            )
        # What follows may hold Python's lock, and the others wait for the
        # value.
        self.run(self._flush())
        if any(other != name for other, _ in found.values()):
            self._is_ending = True
            places = ", ".join(f"{i} at {found[i][0]}" for i in sorted(found))
            raise ValueError(
                "The workers are at different places of the program: worker "
                f"{places}. Start the same program on all of them."
            )
        return [found[i][1] for i in sorted(found)]

    def compare(self, name: str, values: Mapping[str, Any]) -> None:
        """Raises `ValueError` on all workers if a value is not the same.

        Args:
            name: What is compared, for messages.
            values: Values by their names.
        """
        own = json.loads(json.dumps(values, default=str))
        differences = find_differences(self.gather(name, own))
        if differences:
            self._is_ending = True
            raise ValueError(
                f"The workers differ in {name}: {'; '.join(differences)}. "
                "Start all of them with the same values."
            )

    def find_loss(self) -> LostWorkerError | None:
        """Returns the loss of a worker that has not ended in order."""
        with self._changed:
            self._is_ending |= self._loss is not None
            return self._make_error(*self._loss) if self._loss else None

    def explain(self) -> LostWorkerError | None:
        """Returns who is gone, after an error of TensorFlow's own."""
        until = time.monotonic() + EXPLAIN
        with self._changed:
            while (left := until - time.monotonic()) > 0:
                error = self._find_error() or self._find_announced()
                if error is not None:
                    self._is_ending = True
                    return error
                self._changed.wait(left)
        # TensorFlow may have noticed the silence earlier.
        ages = {i: time.monotonic() - p.heard for i, p in self._peers.items()}
        index = max(ages, key=lambda i: ages[i])
        if ages[index] < EXPLAIN:
            return None
        self._is_ending = True
        cause = f"no sign of life for {ages[index]:.0f} s"
        self._loop.call_soon_threadsafe(self._lose, index, cause)
        return self._make_error(index, cause)

    def give_reason(self, reason: str) -> None:
        """Tells the other workers why this one is about to end."""
        self._is_ending = True
        if not self._own_reason:
            self._own_reason = clean(reason)
            self._tell({"reason": self._own_reason})

    def close(self) -> None:
        """Ends the connections, in order if this worker has no error."""
        if self._process != os.getpid() or self._loop.is_closed():
            return
        self._is_ending = True
        # Set by Python for an exception that has ended the program.
        error = getattr(sys, "last_value", None)
        if error is not None:
            self.give_reason(describe(error))
        future = asyncio.run_coroutine_threadsafe(self._leave(), self._loop)
        with contextlib.suppress(TimeoutError):
            future.result(2.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._loop.close()
        atexit.unregister(self.close)

    def forget(self) -> None:
        """Closes the connections in a forked process.

        Otherwise they would stay open when this worker is killed. The numbers
        of the files stay in use, since their owners close them later.
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in self.get_files():
            if number >= 0:
                os.dup2(nowhere, number)
        os.close(nowhere)

    # In the thread of the connections, or with the lock.

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, message: Mapping[str, Any]) -> None:
        line = encode(message)
        if len(line) > LIMIT:
            raise ValueError(
                f"The workers can compare {LIMIT} bytes at most. Received: "
                f"{len(line)} bytes"
            )
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._write, line)

    def _write(self, line: bytes) -> None:
        for peer in self._peers.values():
            if not peer.writer.is_closing():
                peer.writer.write(line)

    async def _flush(self) -> None:
        for peer in self._peers.values():
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(peer.writer.drain(), 1.0)

    async def _leave(self) -> None:
        if not self._own_reason and self._loss is None:
            self._write(encode({"bye": True}))
        await self._flush()
        for peer in self._peers.values():
            peer.writer.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # A closed connection frees its socket in the next turn of the loop.
        await asyncio.sleep(0)

    async def _listen(self, index: int, reader: asyncio.StreamReader) -> None:
        peer = self._peers[index]
        cause = "it was killed, or the connection was cut"
        try:
            while line := await reader.readline():
                peer.heard = time.monotonic()
                self._receive(index, json.loads(line))
        except OSError:
            pass  # The kernel resets the connections of a killed process.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cause = f"it sent what no worker sends ({clean(str(error))})"
        peer.writer.close()
        if peer.reason:
            cause = f"it ended with {peer.reason}"
        with self._changed:
            if peer.has_left:
                self._changed.notify_all()
                self._end_later(self._needs)
            else:
                self._lose(index, cause)

    def _receive(self, index: int, message: dict[str, Any]) -> None:
        peer = self._peers[index]
        with self._changed:
            if "value" in message:
                turn, name, value = message["value"]
                self._values[index, int(turn)] = clean(name), value
            if "reason" in message:
                peer.reason = clean(message["reason"])
            if "lost" in message:
                other, cause = message["lost"]
                if other in self._peers:
                    self._lose(other, clean(cause))
            if "bye" in message:
                peer.has_left = True
            if message:
                self._changed.notify_all()

    async def _watch(self) -> None:
        """Sends signs of life, and looks for those of the others."""
        before = time.monotonic()
        while True:
            await asyncio.sleep(HEARTBEAT)
            self._write(encode({}))
            now = time.monotonic()
            if now - before > 5 * HEARTBEAT:
                # This process itself was stopped; their signs are unread.
                for peer in self._peers.values():
                    peer.heard = now
            before = now
            for index, peer in self._peers.items():
                if now - peer.heard > SILENCE and not peer.writer.is_closing():
                    self._lose(index, f"no sign of life for {SILENCE:g} s")

    def _lose(self, index: int, cause: str) -> None:
        with self._changed:
            if self._loss is not None:
                return
            self._loss = index, cause
            self._write(encode({"lost": self._loss}))
            self._changed.notify_all()
        self._loop.call_later(GRACE, self._end)

    def _end_later(self, needs: int) -> None:
        """Ends the process if it still needs a worker that ended in order."""

        def end() -> None:
            if self._is_needing and self._needs == needs:
                self._end()

        delay = GRACE if self._has_trained else START_GRACE
        self._loop.call_later(delay, end)

    def _end(self) -> None:
        """Ends the process, whose main thread hangs in TensorFlow."""
        if self._is_ending:
            return
        error = self._find_error()
        # It may wait for a reader that is gone as well.
        flush = threading.Thread(target=sys.stdout.flush, daemon=True)
        flush.start()
        flush.join(1.0)
        if not self._is_ending:
            os.write(2, f"keras_port: {error}\n".encode())
            os._exit(1)

    def _find_error(self) -> LostWorkerError | None:
        if self._loss is not None:
            return self._make_error(*self._loss)
        for index, peer in self._peers.items():
            if peer.has_left:
                return self._make_error(
                    index,
                    "it ended in order before this one, so the workers have "
                    "not done the same",
                )
        return None

    def _find_announced(self) -> LostWorkerError | None:
        for index, peer in self._peers.items():
            if peer.reason:
                cause = f"it ended with {peer.reason}"
                return self._make_error(index, cause)
        return None

    def _make_error(self, index: int, cause: str) -> LostWorkerError:
        return LostWorkerError(
            f"Worker {self.index} of {len(self.addresses)} has lost "
            f"{self.name(index)}: {cause.rstrip('.')}. The training cannot "
            "continue without it. Restart all workers: with `TrainingState` "
            "it continues from the newest snapshot."
        )


_links: Links | None = None


def get_links() -> Links | None:
    """Returns the connections to the other workers, `None` without any."""
    return _links


def set_links(links: Links | None) -> None:
    """Sets what `get_links` returns."""
    global _links
    _links = links


def _forget_links() -> None:
    if _links is not None:
        _links.forget()
    set_links(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_links)


def encode(message: Mapping[str, Any]) -> bytes:
    """Returns a message as one line."""
    return json.dumps(message).encode() + b"\n"


def clean(text: Any) -> str:
    """Returns a text as one line that is safe to show, and not long."""
    line = " ".join(str(text).split())
    shown = "".join(c if c.isprintable() else "?" for c in line)
    return shown if len(shown) <= TEXT else f"{shown[:TEXT]}..."


def describe(error: BaseException) -> str:
    """Returns an exception as one line."""
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        return clean(error.code)
    return clean(f"{type(error).__name__}: {error}".rstrip(": "))


def find_differences(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns as text what is not the same on all workers.

    Args:
        values: Values by name, of every worker.
    """
    lines = []
    for name in sorted({name for one in values for name in one}):
        workers: dict[str, list[str]] = {}
        for index, one in enumerate(values):
            workers.setdefault(str(one.get(name)), []).append(str(index))
        if len(workers) > 1:
            shown = ", ".join(
                f"{clean(value)} on worker {' and '.join(where)}"
                for value, where in workers.items()
            )
            lines.append(f"{name} is {shown}")
    return lines
