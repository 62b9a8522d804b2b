"""The values of the newest training steps, kept on the device."""

import concurrent.futures
import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_port.training.gradient_norm import global_norm
from keras_port.training.gradient_result import GradientResult

COLUMNS = (
    "step",
    "loss",
    "mean_loss",
    "learning_rate",
    "gradient_norm",
    "examples",
)


@dataclasses.dataclass(frozen=True)
class StepValues:
    """The values of some steps, every one an array with one element per step.

    Args:
        step: Updates of the optimizer, int64.
        loss: Loss of the step's batch alone.
        mean_loss: The same, but the mean over the examples where the loss is a
            sum over them, as evaluations return it.
        learning_rate: Learning rate of this update.
        gradient_norm: Norm of all gradients together, NaN if it was not
            computed.
        examples: Number of examples in the batch.
    """

    step: npt.NDArray[np.int64]
    loss: npt.NDArray[np.float64]
    mean_loss: npt.NDArray[np.float64]
    learning_rate: npt.NDArray[np.float64]
    gradient_norm: npt.NDArray[np.float64]
    examples: npt.NDArray[np.float64]


class StepLog:
    """Keeps the values of the newest steps, written inside the step's graph.

    A callback runs once per `steps_per_execution` steps, and the logs hold
    running means. Here every step writes values of its own, and a callback
    reads many of them at once, without a round trip per step.

    Args:
        size: Number of steps to keep. Defaults to 1024.

    Attributes:
        batch_loss: Variable, the loss of the newest batch; NaN before it.
        mean_loss: Variable, the same as a mean over the examples.
        batches_seen: Variable, the number of batches trained on.
        skipped_updates: Variable, the number of updates that were skipped
            because a gradient was not finite.
        norm_freq: Variable, steps between two gradient norms; 0 for none. The
            norm reads every gradient once more, so it is off until a reader
            wants it.
    """

    def __init__(self, size: int = 1024) -> None:
        self.size = size
        self._rows = tf.Variable(
            # One more row, for batches that did not update the weights.
            tf.zeros((size + 1, len(COLUMNS)), tf.float64),
            trainable=False,
            name="step_log",
        )
        self.norm_freq = make_counter("gradient_norm_freq")
        self.batch_loss = tf.Variable(
            np.nan, dtype=tf.float64, trainable=False, name="batch_loss"
        )
        self.mean_loss = tf.Variable(
            np.nan, dtype=tf.float64, trainable=False, name="mean_loss"
        )
        self.skipped_updates = make_counter("skipped_updates")
        self.batches_seen = make_counter("batches")

    @classmethod
    def outside_of_strategies(cls) -> "StepLog":
        """Returns a log whose variables have one copy.

        The values are those of the whole batch, even if several devices share
        it. A strategy's scope would give every device a copy, which can be
        changed in fewer ways. The only way out of a scope is another thread,
        because scopes are per thread.
        """
        if not tf.distribute.has_strategy():
            return cls()
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as threads:
            return threads.submit(cls).result()

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables that a resumed training needs."""
        return [self.batch_loss, self.skipped_updates, self.batches_seen]

    def write(
        self,
        result: GradientResult,
        *,
        before: tf.Tensor,
        step: tf.Tensor,
        learning_rate: tf.Tensor,
        examples: tf.Tensor,
        is_summed: bool,
    ) -> None:
        """Adds a step, in the place of the one `size` steps earlier.

        Args:
            result: Loss and gradients of the batch.
            before: `optimizer.iterations` before the batch.
            step: `optimizer.iterations` after it. If it is the same, the batch
                did not update the weights: its gradients wait for more
                batches, or the update was skipped.
            learning_rate: Learning rate of this update.
            examples: Number of examples in the batch.
            is_summed: Whether the loss is a sum over the examples.
        """
        loss = tf.cast(result.loss, tf.float64)
        mean_loss = loss
        if is_summed:
            mean_loss = loss / tf.cast(tf.maximum(examples, 1), tf.float64)
        self.batch_loss.assign(loss)
        self.mean_loss.assign(mean_loss)
        self.batches_seen.assign_add(1)
        wanted = (self.norm_freq > 0) & (
            step % tf.maximum(self.norm_freq, 1) == 0
        )
        norm = tf.cond(
            wanted,
            lambda: tf.cast(global_norm(result.gradients), tf.float64),
            lambda: tf.constant(np.nan, tf.float64),
        )
        values = (step, loss, mean_loss, learning_rate, norm, examples)
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


def make_counter(name: str) -> tf.Variable:
    """Returns an int64 variable that is 0."""
    return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)
