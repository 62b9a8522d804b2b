"""Whether a loss is a sum or a mean over its batch."""

from typing import Any

import tensorflow as tf


def is_summed(loss: Any) -> bool:
    """Tells whether every loss given to `compile` is a sum over the batch."""
    losses = tf.nest.flatten(loss)
    return all(getattr(one, "reduction", None) == "sum" for one in losses)


def check_divisible(loss: Any, sample_weight: Any) -> None:
    """Raises `ValueError` unless the losses of shards add up to the whole.

    Args:
        loss: Loss as given to `compile`.
        sample_weight: Weights of the examples, or `None`.
    """
    kinds = {
        getattr(one, "reduction", "sum_over_batch_size")
        for one in tf.nest.flatten(loss)
    }
    mixed = "sum" in kinds and len(kinds) > 1
    weighted = "mean_with_sample_weight" in kinds and sample_weight is not None
    if mixed or weighted or kinds & {None, "none"}:
        raise ValueError(
            "On several devices all losses must be sums over the batch "
            '(`reduction="sum"`) or all means ("sum_over_batch_size"), so '
            "that the parts of the devices add up to the whole. Received: "
            f"reductions {sorted(map(str, kinds))}"
            f"{' with `sample_weight`' if weighted else ''}"
        )
