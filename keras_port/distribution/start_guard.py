"""Ends a worker whose start hangs in TensorFlow, from a process of its own.

While TensorFlow connects the workers, it holds Python's lock, so no thread of
the worker can notice that another one is gone, and TensorFlow waits for it
forever. This file is also the program of the process that looks from outside.
It imports nothing but the standard library, so it starts in milliseconds.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

# Seconds after the loss of a worker, and in all, until the process is ended.
GRACE = 7.0
LIMIT = 50.0
# Linux tells with this one that the other side has closed, before all is read.
CLOSED = 0
for _name in ("POLLRDHUP", "POLLHUP", "POLLERR"):
    CLOSED |= getattr(select, _name, 0)


@contextlib.contextmanager
def start_guard(connections: Mapping[int, str], own: str) -> Iterator[None]:
    """Ends this process if the block hangs because a worker is gone.

    Args:
        connections: Names of the other workers by the numbers of the files of
            the connections.
        own: Name of this worker.
    """
    if not hasattr(select, "poll"):
        yield  # Windows.
        return
    task = {
        "process": os.getpid(),
        "own": own,
        "connections": list(connections.items()),
        "grace": GRACE,
        "limit": LIMIT,
    }
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, json.dumps(task)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=list(connections),
    )
    try:
        yield
    finally:
        # The end of its input is the end of the block.
        guard.communicate()


def watch(task: dict[str, Any]) -> str | None:
    """Returns why the process must end, `None` if it has gone on."""
    started = time.monotonic()
    names = dict(task["connections"])
    poll = select.poll()
    poll.register(sys.stdin, CLOSED)
    for number in names:
        poll.register(number, CLOSED)
    lost, until = "", started + task["limit"]
    while (left := until - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            if number == sys.stdin.fileno():
                return None
            poll.unregister(number)
            if not lost:
                lost = f"has lost {names[number]}: it ended while they started"
                until = time.monotonic() + task["grace"]
    return lost or (
        f"has waited {task['limit']:g} s for TensorFlow to connect the "
        "workers: one of them hangs, or this machine cannot reach its port"
    )


def main() -> None:
    """Watches the connections of the process that has started this one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    task = json.loads(sys.argv[1])
    reason = watch(task)
    if reason is not None:
        sys.stderr.write(
            f"keras_port: {task['own']} {reason}. Restart all workers.\n"
        )
        sys.stderr.flush()
        os.kill(task["process"], signal.SIGKILL)


if __name__ == "__main__":
    main()
