"""What each training step was like, kept in the device for a while."""

import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

COLUMNS = ("step", "loss", "learning_rate", "gradient_norm", "examples")


@dataclasses.dataclass(frozen=True)
class StepValues:
    """The values of some steps, each an array with one element per step.

    Args:
        step: Updates of the optimizer, int64.
        loss: Loss of the step's own batch.
        learning_rate: The rate that this update used.
        gradient_norm: Norm of all gradients together, NaN where nobody asked
            for it.
        examples: Examples in the batch.
    """

    step: npt.NDArray[np.int64]
    loss: npt.NDArray[np.float64]
    learning_rate: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    examples: npt.NDArray[np.float64]


class StepLog:
    """Keeps the values of the newest steps, written inside the step's graph.

    A callback sees the end of a call of `steps_per_execution` steps only, and
    the logs hold running means. Here each step leaves values of its own, and a
    callback reads many of them at once, without a round trip per step.

    Args:
        size: Steps that are kept. Defaults to 1024.
    """

    def __init__(self, size: int = 1024) -> None:
        self.size = size
        self._rows = tf.Variable(
            # One row more, for batches that were no update.
            tf.zeros((size + 1, len(COLUMNS)), tf.float64),
            trainable=False,
            name="step_log",
        )
        # The norm reads every gradient once more, so somebody must want it.
        self.norm_freq = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="gradient_norm_freq"
        )

    def write(
        self,
        *,
        before: tf.Tensor,
        step: tf.Tensor,
        loss: tf.Tensor,
        learning_rate: tf.Tensor,
        gradients: list[tf.Tensor | None],
        examples: tf.Tensor,
    ) -> None:
        """Adds a step, in the place of the one `size` steps before.

        Args:
            before: `optimizer.iterations` before the batch.
            step: `optimizer.iterations` after it. If it is the same, the batch
                was no update: its gradients wait for others, or were left out.
            loss: Loss of the batch.
            learning_rate: The rate of this update.
            gradients: Of the batch.
            examples: Number of examples in the batch.
        """
        wanted = (self.norm_freq > 0) & (
            step % tf.maximum(self.norm_freq, 1) == 0
        )
        norm = tf.cond(
            wanted,
            lambda: tf.cast(global_norm(gradients), tf.float64),
            lambda: tf.constant(np.nan, tf.float64),
        )
        values = (step, loss, learning_rate, norm, examples)
        row = tf.stack([tf.cast(value, tf.float64) for value in values])
        at = tf.where(step > before, step % self.size, self.size)
        self._rows.scatter_nd_update([[at]], [row])

    def read(self, after: int, until: int) -> StepValues:
        """Returns the steps `after` < step <= `until` that are still kept."""
        rows = self._rows.numpy()[: self.size]
        rows = rows[(rows[:, 0] > after) & (rows[:, 0] <= until)]
        rows = rows[np.argsort(rows[:, 0])]
        step, *others = rows.T
        return StepValues(step.astype(np.int64), *others)


def global_norm(gradients: list[tf.Tensor | None]) -> tf.Tensor:
    """Returns the norm of all gradients together, the missing ones left out."""
    return tf.linalg.global_norm(
        [gradient for gradient in gradients if gradient is not None]
    )
