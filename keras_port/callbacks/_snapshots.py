"""The snapshots in a directory, of one `fit` or of several."""

import dataclasses
import gc
import os
import pathlib
import re
from typing import Any
import weakref

from absl import logging
import keras

from keras_port.callbacks._snapshot_content import check_snapshot
from keras_port.checkpoints import BackgroundWriter
from keras_port.checkpoints import preview
from keras_port.checkpoints import read_snapshot_and_notes
from keras_port.checkpoints import write_snapshot

# The first `fit` has no number in its names.
NAME = re.compile(r"state-((?P<fit>[0-9]{1,9})-)?(?P<step>[0-9]{1,19})\.npz")


class SnapshotDirectory:
    """Reads, writes and counts the snapshots of a training.

    A program may call `fit` several times with one directory: it trains, thaws
    layers, compiles the model again and trains on. So a snapshot has the
    number of its `fit`, counted from 0, and the last one of every `fit` is
    kept. When the program starts again, its first `fit` gets the end of the
    first, the second one the end of the second, until the one that was
    interrupted.

    Args:
        directory: The directory; it need not exist.
        max_to_keep: Number of snapshots of the current `fit` to keep.
    """

    def __init__(self, directory: pathlib.Path, max_to_keep: int) -> None:
        self.directory = directory
        self.max_to_keep = max_to_keep
        self._writer = _writers.setdefault(self._key, BackgroundWriter())

    def read_newest(self, fit: int) -> dict[str, Any] | None:
        """Returns the newest complete snapshot up to the end of a `fit`.

        Args:
            fit: Number of the `fit`.

        Returns:
            The content, with the `notes` and `path`, the file; `None` without
            a snapshot.

        Raises:
            ValueError: If there are only snapshots of later ones.
        """
        self._writer.join()
        found = self.list_paths()
        for number, step, path in reversed(found):
            if number > fit:
                continue
            try:
                content, notes = read_snapshot_and_notes(path)
                check_content(path, content, number, step)
            except ValueError as error:
                logging.warning("%s The snapshot before it is used.", error)
            else:
                return {**content, "notes": notes, "path": path}
        if found and found[-1][0] > fit:
            raise ValueError(
                f"{self.directory} has snapshots of a later `fit`, but no "
                "complete one of the end of this one. Choose another "
                "directory, or move the snapshots away to begin again."
            )
        return None

    def write(self, content: dict[str, Any], notes: dict[str, Any]) -> None:
        """Writes a snapshot, and removes those that are not needed any more.

        Args:
            content: The content.
            notes: Times, which are no part of it.

        Raises:
            OSError: If it cannot be written.
        """
        fit, step = content["fit"], content["step"]
        number = f"{fit}-" if fit else ""
        path = self.directory / f"state-{number}{step:08d}.npz"
        # An error now, and not a training that begins again.
        check_content(path, preview(content), fit, step)
        try:
            write_snapshot(path, content, notes)
        except OSError as error:
            raise OSError(
                f"Step {step}: {error} Then run the same command again: it "
                "continues from the newest snapshot."
            ) from error
        self._remove_old(fit)

    def write_in_background(
        self, content: dict[str, Any], notes: dict[str, Any]
    ) -> None:
        """Writes as `write` does, after the write before and in a thread.

        Raises:
            OSError: If the snapshot before could not be written.
        """
        self._writer.submit(lambda: self.write(content, notes))

    def wait(self) -> None:
        """Waits until every snapshot is written.

        Raises:
            OSError: If the last one could not be written.
        """
        self._writer.wait()

    def end_earlier_writes(self) -> None:
        """Waits for what a `fit` that was interrupted is still writing.

        An error is only reported: the next `fit` writes its own snapshots, and
        the disk may have space again.
        """
        try:
            self._writer.wait()
        except OSError as error:
            logging.warning("%s", error)

    def _remove_old(self, fit: int) -> None:
        found = self.list_paths()
        for other in range(fit + 1):
            paths = [path for number, _, path in found if number == other]
            keep = self.max_to_keep if other == fit else 1
            for path in paths[:-keep]:
                path.unlink(missing_ok=True)

    def has_later(self, fit: int) -> bool:
        """Tells whether the program has gone on to another `fit`."""
        return any(number > fit for number, _, _ in self.list_paths())

    def list_paths(self) -> list[tuple[int, int, pathlib.Path]]:
        """Returns the snapshots with their `fit` and step, the oldest first."""
        if not self.directory.is_dir():
            return []
        return sorted(
            (int(found["fit"] or 0), int(found["step"]), path)
            for path in self.directory.iterdir()
            if (found := NAME.fullmatch(path.name))
        )

    def count_ended(self) -> int:
        """Returns how many `fit`s of this process have ended here."""
        ended = _ended.get(self._key)
        # A directory that was emptied begins again.
        newest = max((fit for fit, _, _ in self.list_paths()), default=-1)
        return min(ended.count, newest + 1) if ended else 0

    def has_model(self) -> bool:
        """Tells whether the model of the last `fit` that has ended lives on.

        Then the next `fit` here is its next part, and not that of another
        model, which continues what is there.
        """
        ended = _ended.get(self._key)
        if ended is None or ended.model() is None:
            return False
        gc.collect()  # A model is part of a ring of references.
        return ended.model() is not None

    def find_fit(self, model: keras.Model) -> int:
        """Returns the number of the `fit` that starts now.

        Args:
            model: Its model. Another model than before, in the same process,
                continues what the one before has done, as it would in another
                process.
        """
        count = self.count_ended()
        if count and _ended[self._key].model() is not model:
            return count - 1
        return count

    def note_end(self, model: keras.Model, fit: int) -> None:
        """Counts a `fit` that has ended, so that the next one has a number."""
        _ended[self._key] = _Ended(fit + 1, weakref.ref(model))

    @property
    def _key(self) -> str:
        return os.path.realpath(self.directory)


@dataclasses.dataclass(frozen=True)
class _Ended:
    """The `fit`s that have ended in one directory.

    Args:
        count: Their number.
        model: The model of the last one.
    """

    count: int
    model: "weakref.ref[keras.Model]"


# Of this process, by directory. Shared, because a `fit` that was interrupted
# may still be writing when the next one reads.
_writers: "weakref.WeakValueDictionary[str, BackgroundWriter]" = (
    weakref.WeakValueDictionary()
)
_ended: dict[str, _Ended] = {}


def check_content(
    path: pathlib.Path, content: Any, fit: int, step: int
) -> None:
    """Raises a `ValueError` that names the file unless it is a snapshot."""
    try:
        check_snapshot(content, fit=fit, step=step)
    except ValueError as error:
        raise ValueError(f"{path} is not a snapshot: {error}.") from error
