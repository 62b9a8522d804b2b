"""The writers of a run's folders."""

import pathlib
import weakref

import tensorflow as tf


class RunWriters:
    """Makes a writer for each run when it is first asked for.

    Args:
        log_dir: Folder that holds the runs' folders.
    """

    def __init__(self, log_dir: pathlib.Path) -> None:
        self.log_dir = log_dir
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        # A training that ends in an exception calls no callback any more; its
        # writers are closed with this object, at the latest at the exit.
        self._finalizer = weakref.finalize(self, close_all, self._writers)

    def get(self, run: str) -> tf.summary.SummaryWriter:
        """Returns the writer of a run, `""` for the folder itself."""
        if run not in self._writers:
            folder = self.log_dir / run
            self._writers[run] = tf.summary.create_file_writer(str(folder))
        return self._writers[run]

    def flush(self) -> None:
        """Puts what was written on the disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Closes all writers."""
        self._finalizer()


def close_all(writers: dict[str, tf.summary.SummaryWriter]) -> None:
    """Closes writers, and forgets them."""
    for writer in writers.values():
        writer.close()
    writers.clear()
