"""The writers of a run's folders."""

import pathlib

import tensorflow as tf

from keras_port.callbacks.tensorboard.event_files import SUFFIX


class RunWriters:
    """Makes a writer for each run when it is first asked for.

    Args:
        log_dir: Folder that holds the runs' folders.
    """

    def __init__(self, log_dir: pathlib.Path) -> None:
        self.log_dir = log_dir
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def get(self, run: str) -> tf.summary.SummaryWriter:
        """Returns the writer of a run, `""` for the folder itself."""
        if run not in self._writers:
            folder = self.log_dir / run
            self._writers[run] = tf.summary.create_file_writer(
                str(folder), filename_suffix=SUFFIX
            )
        return self._writers[run]

    def flush(self) -> None:
        """Puts what was written on the disk."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Closes all writers."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
