"""What a training step leaves behind for whoever looks between steps."""

import numpy as np
import tensorflow as tf


class StepRecord:
    """Holds the newest batch's loss and how many updates were left out.

    Attributes:
        batch_loss: Variable, the loss of the newest batch; NaN before it.
        skipped_updates: Variable, the updates left out so far.
        batches: Variable, the batches trained on so far.
    """

    def __init__(self) -> None:
        self.batch_loss = tf.Variable(
            np.nan, dtype=tf.float64, trainable=False, name="batch_loss"
        )
        self.skipped_updates = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="skipped_updates"
        )
        self.batches = tf.Variable(
            0, dtype=tf.int64, trainable=False, name="batches"
        )
