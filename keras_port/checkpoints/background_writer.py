"""Files that are written while the training goes on."""

from collections.abc import Callable
import threading


class BackgroundWriter:
    """Runs one writing after the other, beside the caller.

    A new one waits for the one before, so the order is kept and no more than
    one copy is in memory. An error is raised by the next call here: nobody
    else would hear of it.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def submit(self, write: Callable[[], None]) -> None:
        """Starts `write` when the one before has ended."""
        self.wait()

        def run() -> None:
            try:
                write()
            except Exception as error:  # noqa: BLE001 (raised by `wait`)
                self._error = error

        # No daemon: a process that ends in order finishes the file.
        self._thread = threading.Thread(target=run, name="keras_port writer")
        self._thread.start()

    def wait(self) -> None:
        """Returns when all is written.

        Raises:
            Exception: What the last `write` raised.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
