"""Constants that differ between training and inference."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Phase:
    """Gives a tensor one value in training and another one in inference.

    Pass it in the `constants` of `GraphLayer`, for example for the placeholder
    of dropout: `constants={"keep_prob": Phase(training=0.5, inference=1.0)}`.

    Args:
        training: Value in training: a number, a bool, a string or an array.
        inference: Value in inference, such as in `predict` and `evaluate`.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> bias = Phase(training=np.arange(10.0), inference=np.zeros(10))
    >>> layer = GraphLayer(
    ...     "old", inputs="images", outputs="output", constants={"b": bias}
    ... )
    >>> bool(np.all(layer(x, training=True) == layer(x)))
    False
    """

    training: Any
    inference: Any
