"""The course's cross entropies, finite and correct on saturated outputs."""

from typing import Any
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

__all__ = ["CourseCrossEntropy"]

Reduction = Literal["mean_over_elements", "sum"]
REDUCTIONS = ("mean_over_elements", "sum")


@keras.saving.register_keras_serializable(package="keras_port")
class CourseCrossEntropy(keras.losses.Loss):  # type: ignore[misc]
    """Minimises the course's cross entropy without its NaN.

    The course writes `-tf.reduce_mean(y_ * tf.log(y))` in lesson 1 and
    `-tf.reduce_sum(y_ * tf.log(y))` in lesson 3. Both are NaN as soon as a
    probability underflows to 0. This loss is the same function computed from
    the logits that went into the softmax, so it is correct for every finite
    logit.

    With `C` classes and `N` examples, for one-hot `y_`:

    - `"mean_over_elements"`: the mean over all `N * C` elements, which is the
      usual cross entropy divided by `C` (lesson 1);
    - `"sum"`: the sum over the batch (lesson 3), so the gradient grows with the
      size of the batch.

    Args:
        reduction: `"mean_over_elements"` or `"sum"`, as above. Keras has no
            name for the first, so the `reduction` attribute, which Keras reads,
            is then `"sum_over_batch_size"`. Defaults to
            `"mean_over_elements"`.
        from_logits: Whether the model's outputs are logits. Defaults to
            `False`: they are probabilities. If `True`, outputs of a softmax
            raise an error: softmax would be applied twice.
        name: Name of the loss. Defaults to `"course_cross_entropy"`.

    Call arguments:
        y_true: Integer labels of shape (N,) or (N, 1), or one-hot rows (or
            any distribution over the classes) of shape (N, C).
        y_pred: Outputs of shape (N, C).
        sample_weight: Optional, shape (N,).

    Raises:
        ValueError: For an unknown `reduction`, for labels outside
            0..C-1, and for shapes that do not fit.

    Example:

    >>> loss = CourseCrossEntropy()
    >>> probabilities = np.full((5, 10), 0.1, "float32")
    >>> round(float(loss(np.arange(5), probabilities)), 6)
    0.230259
    """

    def __init__(
        self,
        reduction: Reduction = "mean_over_elements",
        *,
        from_logits: bool = False,
        name: str = "course_cross_entropy",
    ) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"`reduction` must be one of {REDUCTIONS}. "
                f"Received: reduction={reduction!r}"
            )
        # What Keras does with the loss of every example.
        of_examples = "sum" if reduction == "sum" else "sum_over_batch_size"
        super().__init__(name=name, reduction=of_examples)
        self._given_reduction = reduction
        self.from_logits = from_logits

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each example, shape (N,)."""
        logits = softmax_logits(y_pred)
        if self.from_logits:
            if logits is not None:
                raise ValueError(
                    "`from_logits=True`, but the model's outputs are those of "
                    "a softmax, so softmax would be applied twice. Use "
                    "`from_logits=False`, or build the model with "
                    "`classifier_activation=None`."
                )
            logits = y_pred
        if logits is not None:
            losses = cross_entropy_of_logits(y_true, logits)
        else:
            losses = cross_entropy_of_probabilities(y_true, y_pred)
        if self._given_reduction == "mean_over_elements":
            losses /= y_pred.shape[-1]
        return losses

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments to create this loss again."""
        return {
            "reduction": self._given_reduction,
            "from_logits": self.from_logits,
            "name": self.name,
        }


def cross_entropy_of_logits(y_true: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns `-sum(y_true * log(softmax(logits)))` of each example."""
    if is_one_hot(y_true, logits):
        return tf.nn.softmax_cross_entropy_with_logits(y_true, logits)
    labels = integer_labels(y_true, logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def cross_entropy_of_probabilities(
    y_true: tf.Tensor, probabilities: tf.Tensor
) -> tf.Tensor:
    """Returns `-sum(y_true * log(probabilities))` of each example, finite."""
    # The smallest normal number stands for a probability that is 0. That of
    # bfloat16, which NumPy does not know, is float32's: it has as many bits
    # of exponent.
    dtype = probabilities.dtype
    known = np.float32 if dtype == tf.bfloat16 else dtype.as_numpy_dtype
    smallest = tf.cast(np.finfo(known).tiny, dtype)
    logs = tf.math.log(tf.maximum(probabilities, smallest))
    if is_one_hot(y_true, probabilities):
        return -tf.reduce_sum(y_true * logs, axis=-1)
    labels = integer_labels(y_true, probabilities)
    return -tf.gather(logs, labels, axis=-1, batch_dims=1)


def is_one_hot(y_true: tf.Tensor, y_pred: tf.Tensor) -> bool:
    """Tells one-hot rows from integer labels, by their shape alone."""
    if y_pred.shape.rank != 2:
        raise ValueError(
            "`y_pred` must have shape (batch, classes). "
            f"Received: y_pred.shape={tuple(y_pred.shape)}"
        )
    classes = y_pred.shape[-1]
    if y_true.shape.rank == 2 and y_true.shape[-1] == classes:
        return True
    if y_true.shape.rank == 1:
        return False
    if y_true.shape.rank == 2 and y_true.shape[-1] == 1:
        return False
    raise ValueError(
        "`y_true` must be integer labels of shape (batch,) or rows of shape "
        f"(batch, {classes}), one for each class of `y_pred`. "
        f"Received: y_true.shape={tuple(y_true.shape)}"
    )


def integer_labels(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns the labels as int64 of shape (N,), checked where they are known.

    Inside a graph the values are not known yet: `GradientModel.fit` checks them
    before the first step.
    """
    labels = tf.reshape(y_true, [-1])
    if tf.executing_eagerly():
        # Before the cast, which makes integers of 0.5 and NaN.
        check_labels(labels.numpy(), y_pred.shape[-1])
    return tf.cast(labels, tf.int64)


def check_labels(labels: np.ndarray, num_classes: int) -> None:
    """Raises `ValueError` unless all labels are classes.

    Args:
        labels: Array of integer labels, of any shape.
        num_classes: Number of classes; labels run from 0 to one below it.

    Raises:
        ValueError: Names the first wrong label and its position.
    """
    flat = np.ravel(labels)
    # Comparisons with NaN are false, so the condition is negated as a whole.
    wrong = ~((flat >= 0) & (flat < num_classes) & (flat == np.floor(flat)))
    if wrong.any():
        position = int(np.argmax(wrong))
        raise ValueError(
            f"Labels must be integers from 0 to {num_classes - 1}, because "
            f"the model has {num_classes} outputs. Received: label "
            f"{flat[position]:.10g} at position {position}. Fix the labels, "
            "or build the model with more classes."
        )


def softmax_logits(probabilities: tf.Tensor) -> tf.Tensor | None:
    """Returns the logits that went into the softmax of `probabilities`.

    This is the one place that reads a name Keras does not document. Keras'
    softmax leaves its input on its output as `_keras_logits`, and Keras' own
    cross entropies read it (keras/src/backend/tensorflow/nn.py). There is no
    public way from probabilities to logits: once exp(-400) has underflowed to
    0, the 400 of row B62 is nowhere else. Should the attribute go, the loss
    falls back to clipped probabilities and the tests of B62 fail.
    """
    return getattr(probabilities, "_keras_logits", None)
