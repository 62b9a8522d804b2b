"""Selects the examples of a batch with the highest loss."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import check_integer
from keras_port.training.gradient_result import Batch
from keras_port.training.gradient_result import GradientResult
from keras_port.training.gradient_result import batch_size
from keras_port.training.sharing import compute_batch_gradients
from keras_port.training.sharing import evaluate_batch

# Any fixed number: models with the same batches sample the same examples.
SEED = 20201
# An example with a lower loss is sampled only if there are too few others.
SMALLEST_LOSS = 1e-6


@keras.saving.register_keras_serializable(package="keras_port")
class HardExamples:
    """Trains on the examples of every batch that have a high loss.

    Selective backpropagation (Jiang et al., 2019, "Accelerating Deep Learning
    by Focusing on the Biggest Losers"): the forward pass takes a third of a
    training step or less, and examples that the model has learned change
    nothing in it. Examples are sampled without replacement with probabilities
    in proportion to their loss. The loss and the metrics are those of the
    whole batch, without dropout. A resumed training samples the same examples.

    Args:
        count: Number of examples of each batch to train on. A smaller batch is
            used whole.
        warmup_batches: Number of initial batches that `train_step` truncates
            to their first `count` examples. Early in training every example is
            hard, so selecting among more is wasted work. Defaults to 0.

    Raises:
        ValueError: If `count` is not a positive integer or `warmup_batches`
            is not an integer of 0 or more.

    Example:

    >>> inputs = keras.Input((4,))
    >>> model = GradientModel(inputs, keras.layers.Dense(3)(inputs))
    >>> model.compile(
    ...     loss="mse",
    ...     example_selection=keras_port.training.HardExamples(count=2),
    ... )
    """

    def __init__(self, count: int, *, warmup_batches: int = 0) -> None:
        self.count = check_integer("count", count, note=", in examples")
        self.warmup_batches = check_integer(
            "warmup_batches", warmup_batches, minimum=0, note=", in batches"
        )

    def check(self, loss: Any, *, has_replicas: bool) -> None:
        """Raises `ValueError` for a model that it cannot select examples for.

        Args:
            loss: Loss as given to `compile`.
            has_replicas: Whether several devices share a batch.
        """
        if loss is None or isinstance(loss, list | tuple | dict):
            raise ValueError(
                "`HardExamples` needs one loss to rank the examples by. "
                f"Received: loss={loss}"
            )
        if has_replicas:
            raise ValueError(
                "`HardExamples` selects from the whole batch, but several "
                "devices share the batches of this model. Train it on one "
                "device, or without `example_selection`."
            )

    def truncate(self, data: Any, batch_number: tf.Variable) -> Any:
        """Returns the examples of a batch to select from.

        Args:
            data: What a dataset yields: tensors of shape (examples, ...).
            batch_number: Number of the batch, int64.
        """
        if not self.warmup_batches:
            return data
        size = batch_size(data)
        # Not more than there are: XLA takes any number for the size.
        seen = tf.where(
            batch_number < self.warmup_batches,
            tf.minimum(self.count, size),
            size,
        )
        return tf.nest.map_structure(
            lambda part: None if part is None else part[:seen], data
        )

    def compute_gradients(
        self, model: keras.Model, batch: Batch, batch_number: tf.Variable
    ) -> GradientResult:
        """Computes the gradients of the selected examples.

        Args:
            model: A compiled model.
            batch: The whole batch.
            batch_number: Number of the batch, int64, which seeds the sample.

        Returns:
            The gradients of the loss of the selected examples, and the loss
            and the outputs of the whole batch in inference.
        """
        whole = evaluate_batch(model, batch, per_example=False)
        losses = example_losses(
            model.loss, batch.y, whole.outputs, batch.sample_weight
        )
        count = tf.minimum(self.count, batch.size)
        selected = sample_without_replacement(losses, count, batch_number)
        rows = tf.nest.map_structure(
            lambda one: None if one is None else tf.gather(one, selected),
            tuple(batch),
        )
        result = compute_batch_gradients(model, Batch(*rows))
        return GradientResult(whole.loss, whole.outputs, result.grads_and_vars)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments to create this selection again."""
        return {"count": self.count, "warmup_batches": self.warmup_batches}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HardExamples":
        """Returns the selection with these arguments."""
        return cls(**config)


def example_losses(
    loss: Any, y: Any, outputs: Any, sample_weight: Any = None
) -> tf.Tensor:
    """Returns the loss of every example, float32 of shape (batch,).

    Args:
        loss: Loss as given to `compile`.
        y: Targets, shape (batch, ...).
        outputs: Outputs of the model, shape (batch, ...).
        sample_weight: Weights, shape (batch,) or that of the losses. Defaults
            to `None`.

    Raises:
        ValueError: If the loss is one number for the whole batch.
    """
    known = keras.losses.get(loss)
    is_object = isinstance(known, keras.losses.Loss)
    compute: Callable[[Any, Any], Any] = known.call if is_object else known
    # As Keras does, before it calls a loss.
    dtype = known.dtype if is_object else keras.config.floatx()
    # Keras leaves the mask on the tensor, under a name it does not document.
    mask = getattr(outputs, "_keras_mask", None)
    y, outputs = align_ranks(y, outputs)
    losses = compute(tf.cast(y, dtype), tf.cast(outputs, dtype))
    if not losses.shape.rank:
        raise ValueError(
            "`HardExamples` needs the loss of every example, and "
            f"`{getattr(loss, '__name__', type(loss).__name__)}` returns one "
            "number for the whole batch. Return the losses before their mean, "
            "such as `keras.ops.mean((y - y_pred) ** 2, axis=-1)`."
        )
    losses = tf.cast(losses, tf.float32)
    if sample_weight is not None:
        weights = tf.cast(sample_weight, losses.dtype)
        missing = losses.shape.rank - weights.shape.rank
        shape = tf.concat(
            [tf.shape(weights), tf.ones(max(missing, 0), tf.int32)], 0
        )
        if missing < 0:  # Shape (batch, 1) for losses of shape (batch,).
            shape = tf.shape(losses)
        losses *= tf.reshape(weights, shape)
    rows = tf.reshape(losses, (batch_size(outputs), -1))
    if mask is None or mask.shape.rank != losses.shape.rank:
        return tf.reduce_mean(rows, axis=1)
    valid = tf.reshape(tf.cast(mask, rows.dtype), tf.shape(rows))
    counts = tf.maximum(tf.reduce_sum(valid, axis=1), 1)
    return tf.reduce_sum(rows * valid, axis=1) / counts


def align_ranks(y: Any, outputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns targets and outputs where one has shape (n,), the other (n, 1).

    Keras' loss functions do not accept such a pair; `compile` does.
    """
    y, outputs = tf.convert_to_tensor(y), tf.convert_to_tensor(outputs)
    if y.shape.rank + 1 == outputs.shape.rank and outputs.shape[-1] == 1:
        y = y[..., tf.newaxis]
    elif y.shape.rank == outputs.shape.rank + 1 and y.shape[-1] == 1:
        y = y[..., 0]
    return y, outputs


def sample_without_replacement(
    losses: tf.Tensor, count: tf.Tensor, batch_number: tf.Variable
) -> tf.Tensor:
    """Returns the indices of examples, sampled in proportion to their loss.

    The `count` largest of log(weight) + Gumbel noise are a sample without
    replacement in proportion to the weights (Kool et al., 2019, "Stochastic
    Beams and Where to Find Them").

    Args:
        losses: Loss of every example, shape (batch,).
        count: Number of examples to sample.
        batch_number: Number of the batch, int64, which seeds the noise.
    """
    noise = tf.random.stateless_uniform(
        tf.shape(losses),
        tf.stack(
            [tf.constant(SEED, tf.int64), tf.convert_to_tensor(batch_number)]
        ),
        # Neither 0 nor 1, whose logarithms have none.
        minval=1e-7,
        maxval=1 - 1e-7,
        alg="philox",
    )
    # A negative loss, as of a likelihood, is as small as one can be.
    weights = tf.maximum(losses, SMALLEST_LOSS)
    keys = tf.math.log(weights) - tf.math.log(-tf.math.log(noise))
    return tf.math.top_k(keys, count, sorted=False).indices
