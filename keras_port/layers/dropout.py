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
    """Drops inputs at random, and goes on with the same masks after a reload.

    Stock `Dropout` draws from a seed generator whose state no file format of
    Keras keeps (keras#19796), so a resumed run draws other masks. This layer
    stores the state next to the weights, in `.keras`, in `.weights.h5` and in
    `tf.train.Checkpoint` alike.

    In training each input is set to 0 with probability `rate`; the others are
    multiplied by `1 / (1 - rate)`, so that their expected sum stays (Srivastava
    et al., 2014, in its "inverted" form, as `tf.nn.dropout` computes it).
    Otherwise inputs pass unchanged.

    TensorFlow 1 asks for the probability to keep, Keras for the one to drop.
    One of the two must be given, by name, so that they are never mixed up.

    Where several devices share a batch, each takes its rows out of the mask
    that one device would draw for the whole batch. Stock `Dropout` draws the
    same mask on each replica (keras#20611).

    Args:
        rate: Probability of dropping an input, from 0 up to, but not
            including, 1. No default.
        keep_prob: Probability of keeping an input, over 0 and up to 1;
            `rate = 1 - keep_prob`. No default.
        noise_shape: As in `keras.layers.Dropout`. Defaults to `None`.
        seed: Seed of the masks, or `None` for one drawn from
            `keras.utils.set_random_seed`. Defaults to `None`.
        **kwargs: `name`, `dtype` and the like, as for every layer.

    Call arguments:
        inputs: Floating tensor of any shape; the output has its shape.
        training: Whether to drop.

    Raises:
        TypeError: If an argument is given by position.
        ValueError: If both or neither of `rate` and `keep_prob` are given, or
            the one given is out of range.

    Example:

    >>> layer = keras_port.layers.Dropout(keep_prob=0.75, seed=1)
    >>> layer.rate
    0.25
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        keep_prob: float | None = None,
        noise_shape: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        rate = dropout_rate(rate=rate, keep_prob=keep_prob)
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        if self.rate > 0:
            # `tf.train.Checkpoint` saves the `tf.Variable`s among a layer's
            # attributes, and does not look into Keras' seed generator.
            self._seed_generator_state = self.seed_generator.state.value

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Returns the inputs, some of them dropped in training."""
        if training and self.rate > 0:
            shard = share_of(inputs)
            if shard is not None:
                mask = shard.draw(self, lambda: self._mask(inputs, shard))
                return inputs * shard.rows_of(mask, tf.shape(inputs)[0])
        return super().call(inputs, training=training)

    def _mask(self, inputs: tf.Tensor, shard: Shard) -> tf.Tensor:
        """Returns 0 or `1 / (1 - rate)` for each value of the whole batch."""
        total = tf.cast(shard.total, tf.int32)
        shape = tf.concat([[total], tf.shape(inputs)[1:]], 0)
        return super().call(tf.ones(shape, inputs.dtype), training=True)

    def save_own_variables(self, store: Any) -> None:
        """Puts the state of the random generator beside the weights."""
        super().save_own_variables(store)
        if self.rate > 0:
            store["seed_generator_state"] = self.seed_generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Takes the state of the random generator back."""
        # A file of the stock layer holds no state: the layer keeps its own.
        if self.rate > 0 and "seed_generator_state" in store:
            self.seed_generator.state.assign(store["seed_generator_state"])


def share_of(inputs: Any) -> Shard | None:
    """Returns which part of a batch the inputs are, `None` for all of it."""
    shard = current_shard()
    context = replica_context()
    if shard is None and context is not None:
        # In a model that is no `GradientModel`.
        return shard_of_replica(context, tf.shape(inputs)[0])
    return shard


def dropout_rate(*, rate: float | None, keep_prob: float | None) -> float:
    """Returns the probability to drop, given by either of its two names."""
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
