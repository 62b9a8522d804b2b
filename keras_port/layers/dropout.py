"""Dropout whose random state is saved with the model."""

from typing import Any

import keras
import tensorflow as tf

from keras_port._support import Shard
from keras_port._support import current_shard
from keras_port._support import replica_context
from keras_port._support import shard_of_replica


@keras.saving.register_keras_serializable(package="keras_port")
class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """Drops inputs at random, and continues with the same masks when reloaded.

    No Keras file format stores the random state of the stock `Dropout`
    (keras#19796), so a resumed run samples different masks. This layer stores
    the state with the weights, in `.keras`, `.weights.h5` and
    `tf.train.Checkpoint`. Weights move between this layer and the stock one in
    both directions; the stock layer ignores the state.

    In training every input is set to 0 with probability `rate`; the others are
    multiplied by `1 / (1 - rate)`, so that the expected sum is unchanged
    (Srivastava et al., 2014, in its "inverted" form, as `tf.nn.dropout`
    computes it). In inference the inputs do not change.

    Keras asks for the probability to drop, TensorFlow 1 for the one to keep.
    Give one of the two. A number without a name is Keras' `rate`.

    If several devices share a batch, every device uses its rows of the mask
    that one device would sample for the whole batch. The stock `Dropout` uses
    the same mask on every replica (keras#20611).

    Args:
        rate: Probability of dropping an input, from 0 up to, but not
            including, 1. No default.
        noise_shape: As in `keras.layers.Dropout`. Defaults to `None`.
        seed: Seed of the masks, or `None` for one that depends on
            `keras.utils.set_random_seed`. Defaults to `None`.
        keep_prob: Probability of keeping an input, over 0 and up to 1;
            `rate = 1 - keep_prob`. No default.
        **kwargs: `name`, `dtype` and the like, as for every layer.

    Call arguments:
        inputs: Floating tensor of any shape; the output has its shape.
        training: Whether to drop.

    Raises:
        ValueError: If both or neither of `rate` and `keep_prob` are given, or
            the one given is out of range.

    Example:

    >>> layer = keras_port.layers.Dropout(keep_prob=0.75, seed=1)
    >>> layer.rate
    0.25
    """

    def __init__(
        self,
        rate: float | None = None,
        noise_shape: Any = None,
        seed: int | None = None,
        *,
        keep_prob: float | None = None,
        **kwargs: Any,
    ) -> None:
        rate = dropout_rate(rate=rate, keep_prob=keep_prob)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        if self.rate > 0:
            # `tf.train.Checkpoint` saves the `tf.Variable`s among a layer's
            # attributes, and does not look into Keras' seed generator.
            self._seed_generator_state = self.seed_generator.state.value
            # Keras' files hold it in a part of its own.
            self._saved_state = SavedState(self.seed_generator)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the inputs, some of them dropped in training."""
        if training and self.rate > 0:
            shard = get_shard(inputs)
            if shard is not None:
                mask = shard.draw(self, lambda: self._mask(inputs, shard))
                return inputs * shard.rows_of(mask, tf.shape(inputs)[0])
        return super().call(inputs, training=training)

    def _mask(self, inputs: tf.Tensor, shard: Shard) -> tf.Tensor:
        """Returns 0 or `1 / (1 - rate)` for each value of the whole batch."""
        total = tf.cast(shard.total, tf.int32)
        shape = tf.concat([[total], tf.shape(inputs)[1:]], 0)
        return super().call(tf.ones(shape, inputs.dtype), training=True)


class SavedState(keras.losses.Loss):  # type: ignore[misc]
    """Saves the state of a random generator in Keras' files.

    The stock `Dropout` does not load variables that it does not have, but it
    ignores the parts of a file that belong to attributes it does not have. So
    the state belongs to an attribute of the layer. Keras saves such an object
    if it is a layer, a metric, an optimizer or a loss. The first three would
    appear among the layers, metrics or variables of the model.
    """

    def __init__(self, generator: keras.random.SeedGenerator) -> None:
        super().__init__(name="saved_state")
        self._generator = generator

    def save_own_variables(self, store: Any) -> None:
        """Saves the state."""
        store["seed_generator_state"] = self._generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Restores the state, or keeps it if the stock layer was saved."""
        if "seed_generator_state" in store:
            self._generator.state.assign(store["seed_generator_state"])


def get_shard(inputs: Any) -> Shard | None:
    """Returns which part of a batch the inputs are, `None` for all of it."""
    shard = current_shard()
    context = replica_context()
    if shard is None and context is not None:
        # In a model that is not a `GradientModel`.
        return shard_of_replica(context, tf.shape(inputs)[0])
    return shard


def dropout_rate(*, rate: float | None, keep_prob: float | None) -> float:
    """Returns the probability to drop, from whichever argument is given."""
    if (rate is None) == (keep_prob is None):
        raise ValueError(
            "Give exactly one of `rate` (the probability to drop) and "
            "`keep_prob` (TensorFlow 1's probability to keep); "
            f"rate = 1 - keep_prob. Received: rate={rate}, "
            f"keep_prob={keep_prob}"
        )
    if keep_prob is not None:
        if not 0 < keep_prob <= 1:
            raise ValueError(
                "`keep_prob` must be over 0 and at most 1. "
                f"Received: keep_prob={keep_prob}"
            )
        return 1 - keep_prob
    assert rate is not None  # Exactly one is given, and it is not the other.
    if not 0 <= rate < 1:
        raise ValueError(
            "`rate` must be at least 0 and below 1, as a probability to drop. "
            f"Received: rate={rate}"
        )
    return rate
