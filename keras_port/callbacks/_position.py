"""Where in `fit` a training was interrupted, and what is left of it."""

import dataclasses
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Position:
    """Where in the epochs of `fit` a snapshot was taken.

    Args:
        epoch: Number of epochs that had ended.
        batch: Batches that had been read in the epoch after them.
        steps_per_epoch: Batches in an epoch, `None` if it is not known.
        batch_size: Examples in a batch, `None` if it is not known.
    """

    epoch: int = 0
    batch: int = 0
    steps_per_epoch: int | None = None
    batch_size: int | None = None

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Position":
        """Returns the position that `get_state` has returned."""
        return cls(**state)

    def get_state(self) -> dict[str, Any]:
        """Returns plain values for a snapshot."""
        return dataclasses.asdict(self)

    def as_unfinished(self, epochs: int) -> "Position":
        """Returns the end of a single epoch as a position in that epoch.

        It goes on if `fit` asks for more steps.
        """
        if epochs != 1 or self.epoch != 1 or self.steps_per_epoch is None:
            return self
        return dataclasses.replace(self, epoch=0, batch=self.steps_per_epoch)

    def check_batch_size(self, batch_size: int | None) -> None:
        """Raises `ValueError` for batches of another size."""
        if None not in (self.batch_size, batch_size) and (
            self.batch_size != batch_size
        ):
            raise ValueError(
                f"batches of {self.batch_size} examples there, of "
                f"{batch_size} here. Use the same batch size"
            )

    def is_left_out(self, steps: int | None, names_read: set[str]) -> bool:
        """Tells whether `steps_per_epoch` of one epoch is what is left.

        A program that passes `steps_per_epoch=total_steps - state.step` has
        left out what is done; one that is started again as it was has not.

        Args:
            steps: Batches in the epoch of the new `fit`.
            names_read: Attributes of `TrainingState` that the program has
                read.
        """
        if "step" in names_read:
            return True
        return "batches_seen" in names_read and steps != self.steps_per_epoch

    def count_batches_to_skip(
        self, epoch: int, steps: int | None, epochs: int
    ) -> int | None:
        """Returns how many batches of the first epoch are done.

        Args:
            epoch: The epoch in which the new `fit` starts.
            steps: Batches in an epoch of the new `fit`.
            epochs: Number of epochs of the new `fit`.

        Returns:
            `None` if the new `fit` asks for nothing more.

        Raises:
            ValueError: If the new `fit` starts in another epoch, or if its
                epochs have another length.
        """
        if self.epoch >= epochs:
            return None
        if epoch != self.epoch:
            raise ValueError(
                f"{self.epoch} epochs are done, and `fit` starts in epoch "
                f"{epoch}. Use `fit(..., initial_epoch=state.epoch)`, or "
                f"{self.epoch} if the model is not the one that was trained "
                "before in this process"
            )
        if epochs > 1 and self.batch and steps != self.steps_per_epoch:
            raise ValueError(
                f"an epoch had {self.steps_per_epoch} steps there, and has "
                f"{steps} here. Use the same data, batch size and "
                "`steps_per_epoch`"
            )
        is_last = epoch + 1 >= epochs
        if steps is not None and self.batch >= steps and is_last:
            return None
        return self.batch


class Progress:
    """Counts the batches of one `fit`.

    Args:
        batches: Batches that were read before, by earlier starts, too.
        epoch: The epoch in which `fit` starts.
        done: Batches of that epoch that were read before.
        skipped: Of these, how many Keras counts once more.
    """

    def __init__(
        self,
        batches: int = 0,
        epoch: int = 0,
        done: int = 0,
        skipped: int | None = 0,
    ) -> None:
        self.batches = batches
        self._epoch = epoch
        self._in_epoch = done
        self._left_out = done - (skipped or 0)
        self._batch_size: int | None = None

    def start_epoch(self, epoch: int) -> None:
        """Counts the batches of the next epoch from 0."""
        self._epoch, self._in_epoch, self._left_out = epoch, 0, 0

    def is_at_end(self, steps: int) -> bool:
        """Tells whether all batches of the epoch have been read.

        Args:
            steps: Batches in an epoch of this `fit`.
        """
        return self._in_epoch >= steps + self._left_out

    def end_epoch(self) -> None:
        """Counts the epoch."""
        self._epoch, self._in_epoch = self._epoch + 1, 0

    def count_call(self, steps: int, limit: int | None) -> None:
        """Counts the batches of a call of `train_function`.

        Args:
            steps: Batches in one call.
            limit: Batches in an epoch, if it is known: the last call of an
                epoch may have fewer.
        """
        if limit is not None:
            steps = min(steps, limit + self._left_out - self._in_epoch)
        self.batches += steps
        self._in_epoch += steps

    def note_batch_size(self, iterator: Any) -> None:
        """Looks at the batches that `fit` reads."""
        spec = getattr(iterator, "element_spec", None)
        if self._batch_size is None and spec is not None:
            self._batch_size = get_static_batch_size(spec)

    def get_position(
        self, batch_size: int | None, steps: int | None
    ) -> Position:
        """Returns where this `fit` is now.

        Args:
            batch_size: Examples in a batch, if `fit` was told.
            steps: Batches in an epoch of this `fit`, if it is known.
        """
        planned = None if steps is None else steps + self._left_out
        return Position(
            epoch=self._epoch,
            batch=self._in_epoch,
            steps_per_epoch=planned,
            batch_size=batch_size or self._batch_size,
        )


def get_static_batch_size(spec: Any) -> int | None:
    """Returns the first dimension of a batch, `None` if it may vary."""
    shape = getattr(tf.nest.flatten(spec)[0], "shape", None)
    return shape[0] if shape is not None and shape.rank else None
