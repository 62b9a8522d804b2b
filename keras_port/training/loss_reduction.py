"""Whether a loss is a sum or a mean over its batch."""

import inspect
from typing import Any

import keras
import tensorflow as tf

from keras_port.training.gradient_result import Batch
from keras_port.training.gradient_result import batch_size

# Reductions of a loss that divide by a number of values or of weights.
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def is_summed(loss: Any) -> bool:
    """Tells whether every loss given to `compile` is a sum over the batch."""
    losses = list_losses(loss)
    return bool(losses) and all(
        getattr(one, "reduction", None) == "sum" for one in losses
    )


def list_losses(loss: Any) -> list[Any]:
    """Returns the losses given to `compile`, without outputs that have none."""
    return [one for one in tf.nest.flatten(loss) if one is not None]


def check_divisible(loss: Any, sample_weight: Any, place: str) -> None:
    """Raises `ValueError` unless the losses of parts add up to the whole.

    Args:
        loss: Loss as given to `compile`.
        sample_weight: Weights of the examples, or `None`.
        place: What has the parts, at the beginning of the message, such as
            `"On several devices"`.
    """
    kinds = {
        getattr(one, "reduction", "sum_over_batch_size")
        for one in list_losses(loss)
    }
    mixed = "sum" in kinds and len(kinds) > 1
    weighted = "mean_with_sample_weight" in kinds and sample_weight is not None
    if mixed or weighted or kinds & {None, "none"}:
        raise ValueError(
            f"{place} all losses must be sums over the batch "
            '(`reduction="sum"`) or all means ("sum_over_batch_size"), so '
            "that the parts add up to the whole. Received: "
            f"reductions {sorted(map(str, kinds))}"
            f"{' with `sample_weight`' if weighted else ''}"
        )


def check_per_example(loss: Any, batch: Batch, outputs: Any) -> None:
    """Raises `ValueError` for a loss function that returns one number.

    It may be a sum or a mean: Keras does not know, and does not weight it by
    the number of devices as it does with the losses that it reduces itself.

    Args:
        loss: Loss as given to `compile`.
        batch: A batch.
        outputs: The outputs of the model.
    """
    losses, targets = tf.nest.flatten(loss), tf.nest.flatten(batch.y)
    predictions = tf.nest.flatten(outputs)
    if not len(losses) == len(targets) == len(predictions):
        return
    for one, y_true, y_pred in zip(losses, targets, predictions, strict=True):
        if one is None or y_true is None:
            continue
        known = keras.losses.get(one)
        compute = getattr(known, "call", known)
        if inspect.isfunction(one) and not compute(y_true, y_pred).shape.rank:
            raise ValueError(
                "On several devices a loss must be one number per example, "
                "of shape (batch,), so that the devices' parts add up to the "
                f"whole. Received: `{one.__name__}`, which returns one number "
                "for the whole batch. Return the losses before their mean, "
                "such as `keras.ops.mean((y - y_pred) ** 2, axis=-1)`."
            )


def compute_loss(
    model: keras.Model, batch: Batch, outputs: Any, *, training: bool
) -> tf.Tensor:
    """Calls `compute_loss` of a model, perhaps overridden.

    Keras added `training` in 3.3 and takes overrides without it (keras#19840).

    Args:
        model: A compiled model.
        batch: The batch.
        outputs: The outputs of the model.
        training: Whether it is a training step.
    """
    arguments = {
        "x": batch.x,
        "y": batch.y,
        "y_pred": outputs,
        "sample_weight": batch.sample_weight,
    }
    parameters = inspect.signature(model.compute_loss).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if "training" in parameters or takes_any:
        arguments["training"] = training
    loss: tf.Tensor = model.compute_loss(**arguments)
    return loss


def split_loss(
    model: keras.Model, loss: tf.Tensor, factor: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Returns the loss of the data, and the losses that layers add.

    Layers add losses for their weights, such as L2, and by `add_loss`.

    Args:
        model: The model that computed the loss just now.
        loss: Result of `compute_loss`. An override of it may leave out what
            layers add, so its result counts as a loss of the data.
        factor: What Keras has multiplied every added loss by.
    """
    inherited = type(model).compute_loss is keras.Model.compute_loss
    if not inherited or not model.losses:
        return loss, None
    added = tf.add_n(
        [tf.cast(tf.reduce_sum(one), loss.dtype) for one in model.losses]
    )
    return loss - added * factor, added


def count_weights(model: keras.Model, batch: Batch, outputs: Any) -> tf.Tensor:
    """Returns the weight of a batch's loss in a mean over several batches.

    So that the mean does not depend on how the examples are divided into
    batches: the number of time steps that a mask leaves, and of labels that
    the loss does not ignore; or the sum of the sample weights where the loss is
    divided by it. Otherwise the number of examples. A model with several losses
    has one weight for all of them, the number of examples.

    Args:
        model: The model.
        batch: The batch.
        outputs: The outputs of the model.
    """
    losses = list_losses(model.loss)
    targets, predictions = tf.nest.flatten(batch.y), tf.nest.flatten(outputs)
    if not len(losses) == len(targets) == len(predictions) == 1:
        return batch_size(batch.x)
    kind = getattr(losses[0], "reduction", "sum_over_batch_size")
    # Keras leaves the mask on the tensor, under a name it does not document.
    mask = getattr(predictions[0], "_keras_mask", None)
    ignored = getattr(losses[0], "ignore_class", None)
    if ignored is not None:
        is_valid = targets[0] != tf.cast(ignored, targets[0].dtype)
        if mask is not None:
            is_valid = tf.reshape(is_valid, tf.shape(mask)) & mask
        mask = is_valid
    weights = batch.sample_weight
    if kind == "mean_with_sample_weight" and weights is not None:
        (weights,) = tf.nest.flatten(weights)
        weights = tf.cast(weights, tf.float32)
        if mask is None:
            return tf.reduce_sum(weights)
        missing = mask.shape.rank - weights.shape.rank
        weights = weights[(..., *[tf.newaxis] * missing)]
        if missing < 0:  # Shape (batch, 1) for a mask of shape (batch,).
            weights = tf.reshape(weights, tf.shape(mask))
        return tf.reduce_sum(weights * tf.cast(mask, tf.float32))
    if kind in MEANS and mask is not None:
        return tf.reduce_sum(tf.cast(mask, tf.float32))
    return batch_size(batch.x)
