"""Waits for the other workers of a cluster, with a timeout."""

from collections.abc import Sequence
import contextlib
import socket
import time

# Seconds between two looks at a worker that has not answered.
PAUSE = 0.2


def meet(addresses: Sequence[str], index: int, timeout: float) -> None:
    """Returns when all workers of a cluster have started.

    TensorFlow itself would wait forever, without a message.

    Args:
        addresses: Addresses of all workers, `"host:port"`.
        index: Position of this worker in the list.
        timeout: Largest number of seconds to wait.

    Raises:
        TimeoutError: Names the workers that have not started.
        OSError: If the port of this worker is in use.
    """
    deadline = time.monotonic() + timeout
    waiting = [a for at, a in enumerate(addresses) if at != index]
    # Until TensorFlow itself listens there.
    with listening(addresses[index]):
        while waiting:
            waiting = [address for address in waiting if not answers(address)]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(waiting)} of {len(addresses)} workers have not "
                    f"started within {timeout:g} s: {', '.join(waiting)}. "
                    "Start them, look whether this machine reaches them, or "
                    "wait longer by `timeout`."
                )
            time.sleep(PAUSE)


def listening(address: str) -> contextlib.closing[socket.socket]:
    """Returns a socket that answers on the port of an address."""
    port = int(address.rpartition(":")[2])
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind(("", port))
    except OSError as error:
        own.close()
        raise OSError(
            f"Port {port} of this worker, {address}, cannot be used: {error}. "
            "Is another worker or program running there? Choose another one "
            "for all workers."
        ) from error
    own.listen()
    return contextlib.closing(own)


def answers(address: str) -> bool:
    """Tells whether a worker has started."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1).close()
    except OSError:
        return False
    return True
