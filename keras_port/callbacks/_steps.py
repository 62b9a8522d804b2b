"""The step of a training, and what is due at it."""

import keras


def get_step(model: keras.Model) -> int:
    """Returns the number of updates that the optimizer has made."""
    # Not the batch index that Keras passes to callbacks. That index is wrong
    # with `steps_per_execution` (50 steps at 20 per call report 59), counts
    # batches whose gradients are only accumulated, and starts again at 0 in
    # every epoch and every `fit`.
    return int(model.optimizer.iterations.numpy())


class Every:
    """Is due at the first chance at or after every multiple of `freq` steps.

    With `steps_per_execution` callbacks do not see every step, so a multiple
    may be passed between two calls.

    Args:
        freq: Steps between two multiples, at least 1.
    """

    def __init__(self, freq: int) -> None:
        self.freq = freq
        self._last = 0

    def restart(self, step: int) -> None:
        """Counts from `step`, where a training starts or is resumed."""
        self._last = step

    def is_due(self, step: int) -> bool:
        """Returns whether a multiple lies between the last step and `step`."""
        is_due = step // self.freq > self._last // self.freq
        self._last = step
        return is_due
