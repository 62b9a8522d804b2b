"""Where in `fit` a training was interrupted, and what is left of it."""

import dataclasses
from typing import Any


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
        # One epoch that ended may go on, if it is longer now.
        done, batch = self.epoch, self.batch
        if epochs == 1 and self.epoch == 1 and self.steps_per_epoch is not None:
            done, batch = 0, self.steps_per_epoch
        if done >= epochs:
            return None
        if epoch != done:
            raise ValueError(
                f"{done} epochs are done, and `fit` starts in epoch {epoch}. "
                "Use `fit(..., initial_epoch=state.epoch)`"
            )
        if epochs > 1 and batch and steps != self.steps_per_epoch:
            raise ValueError(
                f"an epoch had {self.steps_per_epoch} steps there, and has "
                f"{steps} here. Use the same data, batch size and "
                "`steps_per_epoch`"
            )
        if steps is not None and batch >= steps and epoch + 1 >= epochs:
            return None
        return batch
