"""The workers meet, compare what they know, and stay connected.

The workers of these tests are threads of one process, without TensorFlow.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import concurrent.futures
import contextlib
import logging
import socket
import threading
import time
from typing import Any

import pytest

from keras_port.distribution import meeting
from keras_port.distribution.meeting import meet
from keras_port.training.sharing import links as links_module
from keras_port.training.sharing.links import Links
from keras_port.training.sharing.links import LostWorkerError
from tests.distribution.cluster import free_addresses

Together = Callable[..., list[Any]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Links]]:
    """Closes all connections of a test, which may not end its process."""
    links: list[Links] = []
    ended: list[int] = []
    original = Links.__init__

    def init(self: Links, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        links.append(self)

    monkeypatch.setattr(Links, "__init__", init)
    monkeypatch.setattr(links_module.os, "_exit", ended.append)
    yield links
    for one in links:
        one.close()
    assert not ended


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Runs each call in a thread, and returns the results or errors."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as threads:
        futures = [threads.submit(call) for call in calls]
        return [f.exception(30) or f.result() for f in futures]


def meet_all(addresses: list[str], timeout: float = 20.0) -> list[Links]:
    return together(
        [
            lambda index=index: meet(addresses, index, timeout)  # type: ignore[misc]
            for index in range(len(addresses))
        ]
    )


def kill(links: Links) -> None:
    """Cuts the connections without a goodbye."""

    # All at once, or it would tell the last one that it has lost the first.
    def cut() -> None:
        for peer in links._peers.values():
            peer.writer.transport.abort()

    links._loop.call_soon_threadsafe(cut)
    # So that it does not complain itself.
    links._is_ending = True


@contextlib.contextmanager
def other_program(address: str, answer: bytes) -> Iterator[None]:
    """Listens at an address as a program that is no worker."""
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


def test_workers_meet_whoever_comes_first(made: list[Links]) -> None:
    addresses = free_addresses(3)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        first = threads.submit(meet, addresses, 1, 20.0)
        second = threads.submit(meet, addresses, 2, 20.0)
        time.sleep(0.3)
        assert not first.done()
        last = meet(addresses, 0, 20.0)
        workers = [last, first.result(20), second.result(20)]
    values = together(
        [lambda one=one: one.gather("index", one.index) for one in workers]  # type: ignore[misc]
    )
    assert values == [[0, 1, 2]] * 3
    # The port is free for TensorFlow, although its connections live on.
    host, _, port = addresses[0].rpartition(":")
    with socket.create_server((host, int(port))):
        pass


@pytest.mark.fault("R14")
def test_a_worker_that_never_starts_is_named(
    made: list[Links],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    addresses = free_addresses(3)
    monkeypatch.setattr(meeting, "REPORT", 0.5)
    logging.getLogger("absl").addHandler(caplog.handler)
    try:
        results = together(
            [
                lambda: meet(addresses, 0, 1.5),
                lambda: meet(addresses, 2, 1.5),
            ]
        )
    finally:
        logging.getLogger("absl").removeHandler(caplog.handler)
    text = f"for 1 of 3 workers: worker 1 ({addresses[1]}) has not started"
    assert any(isinstance(error, TimeoutError) for error in results)
    for error in results:
        # The first whose time is over takes the other along.
        assert text in str(error), error
    assert f"Waiting for worker 1 ({addresses[1]})" in caplog.text


@pytest.mark.fault("R15")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n" * 9])
def test_the_port_of_another_program_is_recognized(
    made: list[Links], answer: bytes
) -> None:
    addresses = free_addresses(2)
    for index in (0, 1):
        with (
            other_program(addresses[1 - index], answer),
            pytest.raises(TimeoutError, match="answers, but not like a worker"),
        ):
            meet(addresses, index, 1.5)


@pytest.mark.fault("R15")
@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        ((0, 1), (0, 1, 2), 1),
        ((0, 1, 2), (0, 1), 1),
        ((0, 1), (1, 0), 0),
        ((0, 1), (2, 1), 1),
    ],
)
def test_different_lists_are_refused_by_both(
    made: list[Links],
    first: tuple[int, ...],
    second: tuple[int, ...],
    index: int,
) -> None:
    addresses = free_addresses(3)
    results = together(
        [
            lambda: meet([addresses[i] for i in first], 0, 4.0),
            lambda: meet([addresses[i] for i in second], index, 4.0),
        ]
    )
    assert any("has the list of workers" in str(one) for one in results)
    for one in results:
        assert isinstance(one, (ValueError, TimeoutError, RuntimeError)), one


def test_two_workers_with_one_index_are_refused(made: list[Links]) -> None:
    addresses = free_addresses(3)
    links = Links(addresses, 1)
    twin = Links(addresses, 1)

    async def call(one: Links) -> None:
        # As from another machine, where the port is free.
        await meeting.Meeting(one, 5.0)._call(0)

    with concurrent.futures.ThreadPoolExecutor() as threads:
        chief = threads.submit(meet, addresses, 0, 10.0)
        for one in (links, twin):
            threads.submit(one.run, call(one))
        with pytest.raises(ValueError, match="Two processes say that they"):
            chief.result(20)


def test_a_port_in_use_is_an_error(made: list[Links]) -> None:
    own, other = free_addresses(2)
    with (
        other_program(own, b""),
        pytest.raises(OSError, match=r"cannot be used: .* in use"),
    ):
        meet([own, other], 0, 5.0)


@pytest.mark.fault("R13")
def test_a_worker_that_is_killed_is_named_by_all(made: list[Links]) -> None:
    addresses = free_addresses(3)
    workers = meet_all(addresses)
    kill(workers[1])
    for one in (workers[0], workers[2]):
        with pytest.raises(
            LostWorkerError,
            match=rf"Worker {one.index} of 3 has lost worker 1 \({addresses[1]}"
            r"\): it was killed",
        ):
            one.gather("something", 1)


@pytest.mark.fault("R13")
def test_a_worker_that_is_killed_while_they_meet_ends_the_others(
    made: list[Links],
) -> None:
    addresses = free_addresses(3)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        waiting = [threads.submit(meet, addresses, i, 20.0) for i in (0, 1)]
        deadline = time.monotonic() + 10
        while [one.has(1 - one.index) for one in made] != [True, True]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        killed = next(one for one in made if one.index == 1)
        kill(killed)
        with pytest.raises(LostWorkerError, match="has lost worker 1"):
            waiting[0].result(10)


def test_a_worker_says_why_it_ends(made: list[Links]) -> None:
    workers = meet_all(free_addresses(3))
    workers[2].give_reason("ValueError: no\n data \x1b[2J")
    workers[2].close()
    for one in workers[:2]:
        error = one.explain()
        assert "it ended with ValueError: no data ?[2J." in str(error)


def test_a_worker_that_ends_in_order_is_missed_only_where_needed(
    made: list[Links], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "GRACE", 0.2)
    one, other = meet_all(free_addresses(2))
    with one.needing_all():
        pass
    other.close()
    time.sleep(0.6)  # The process would have been ended by now.
    with pytest.raises(LostWorkerError, match="ended in order before this"):
        one.check()


@pytest.mark.fault("R13")
@pytest.mark.parametrize("how", ["killed", "in order", "silent"])
def test_a_worker_that_hangs_is_ended_with_one_line(
    made: list[Links],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    how: str,
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(links_module, "GRACE", 0.2)
    monkeypatch.setattr(links_module, "SILENCE", 1.0)
    monkeypatch.setattr(links_module, "HEARTBEAT", 0.2)
    one, other = meet_all(free_addresses(2))
    monkeypatch.setattr(links_module.os, "_exit", lambda code: ended.set())
    other._is_ending = True
    with one.needing_all():
        if how == "killed":
            kill(other)
        elif how == "in order":
            other.close()
        else:
            stop = threading.Event()
            other._loop.call_soon_threadsafe(stop.wait)
        assert ended.wait(10)
        if how == "silent":
            stop.set()
    cause = {
        "killed": "it was killed",
        "in order": "it ended in order before this one",
        "silent": "no sign of life for 1 s",
    }[how]
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("keras_port: Worker 0 of 2 has lost worker 1")
    assert cause in line


@pytest.mark.fault("R16")
def test_all_workers_reject_a_value_that_differs(made: list[Links]) -> None:
    workers = meet_all(free_addresses(3))
    results = together(
        [
            lambda one=one: one.compare(  # type: ignore[misc]
                "the settings", {"seed": 1 + one.index // 2, "same": [1]}
            )
            for one in workers
        ]
    )
    for error in results:
        assert isinstance(error, ValueError)
        assert (
            "differ in the settings: seed is 1 on worker 0 and 1, 2 on worker "
            "2." in str(error)
        )


def test_workers_at_different_places_are_told(made: list[Links]) -> None:
    workers = meet_all(free_addresses(2))
    results = together(
        [lambda one=one: one.gather(f"place {one.index}", 0) for one in workers]  # type: ignore[misc]
    )
    for error in results:
        assert isinstance(error, ValueError)
        assert "worker 0 at place 0, 1 at place 1" in str(error)
