"""Writes files while the training continues."""

from collections.abc import Callable
import threading


class BackgroundWriter:
    """Runs one write after the other in a thread.

    A write waits for the one before, so the order is kept and memory holds at
    most one copy. If a write raises an error, the next call raises it.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def submit(self, write: Callable[[], None]) -> None:
        """Starts `write` after the write before it has ended."""
        self.wait()

        def run() -> None:
            try:
                write()
            except Exception as error:  # noqa: BLE001 (raised by `wait`)
                self._error = error

        # Not a daemon: a process that ends normally finishes the file.
        self._thread = threading.Thread(target=run, name="keras_port writer")
        self._thread.start()

    def join(self) -> None:
        """Waits until everything is written, and leaves an error to `wait`."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def wait(self) -> None:
        """Waits until everything is written.

        Raises:
            Exception: The error of the last `write`.
        """
        self.join()
        self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
