"""Runs a graph that has a fixed batch size on any number of rows.

Many graphs were saved with the batch size of their training in every shape. A
batch is cut into parts of that size, the last one is filled up, and what was
added is removed from the outputs.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

Run = Callable[[list[tf.Tensor]], list[tf.Tensor]]
Shape = tuple[int | None, ...]
# Rounding may differ between two runs on other rows.
TOLERANCE = 1e-4


def find_batch_size(shapes: Sequence[Shape | None]) -> int | None:
    """Returns the fixed first axis that all shapes share, or `None`."""
    firsts = {shape[0] if shape else None for shape in shapes}
    return firsts.pop() if len(firsts) == 1 else None


def run_in_parts(
    run: Run,
    inputs: Sequence[tf.Tensor],
    size: int,
    specs: Sequence[tf.TensorSpec],
) -> list[tf.Tensor]:
    """Returns the outputs for all rows of the inputs.

    Args:
        run: Runs the graph on `size` rows.
        inputs: The inputs, with any number of rows.
        size: The batch size of the graph.
        specs: What one run returns.
    """
    if all(one.shape[0] == size for one in inputs):
        return run(list(inputs))
    count = tf.shape(inputs[0])[0]
    parts = -(-count // size)
    split = [
        tf.reshape(
            pad_rows(one, parts * size),
            tf.concat([[parts, size], tf.shape(one)[1:]], 0),
        )
        for one in inputs
    ]

    def run_part(part: list[tf.Tensor]) -> list[tf.Tensor]:
        pairs = zip(part, inputs, strict=True)
        return run(
            [tf.ensure_shape(one, [size, *o.shape[1:]]) for one, o in pairs]
        )

    outputs = tf.map_fn(run_part, split, fn_output_signature=specs)
    return [
        tf.reshape(one, tf.concat([[-1], tf.shape(one)[2:]], 0))[:count]
        for one in outputs
    ]


def pad_rows(tensor: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Returns the first rows of a tensor, its last one repeated if needed.

    Copies of a row, since a network may not work on zeros.
    """
    return tf.gather(
        tensor, tf.minimum(tf.range(count), tf.shape(tensor)[0] - 1)
    )


def check_rows(inputs: Sequence[tf.Tensor], size: int) -> list[tf.Tensor]:
    """Returns the inputs of a training step, which must be a whole batch.

    Raises:
        ValueError: If they have another number of rows. TensorFlow raises
            `InvalidArgumentError` if that is known only when the step runs.
    """
    for one in inputs:
        if one.shape[0] not in (None, size):
            raise ValueError(
                f"The graph trains on {size} rows at a time, which is in its "
                f"shapes. Use `batch_size={size}`, and leave out a last batch "
                f"that is smaller. Received: {one.shape[0]} rows."
            )
    return [tf.ensure_shape(one, [size, *one.shape[1:]]) for one in inputs]


def are_rows_independent(
    run: Run, shapes: Sequence[Shape], dtypes: Sequence[str]
) -> bool:
    """Returns whether a row of the outputs depends on its own row alone.

    It tries: two batches that differ in their second half must give the same
    outputs in the first.

    Args:
        run: Runs the graph.
        shapes: The shapes of the inputs.
        dtypes: Their types.
    """
    rng = np.random.default_rng(0)
    first, second = [], []
    half = (shapes[0][0] or 0) // 2
    if not half:
        return True
    for shape, dtype in zip(shapes, dtypes, strict=True):
        sizes = [size or 2 for size in shape]
        kind = tf.as_dtype(dtype)
        values: np.ndarray
        if kind.is_floating:
            values = rng.normal(size=(2, *sizes))
        elif kind.is_integer or kind.is_bool:
            # Every table has a first and a second row.
            values = rng.integers(0, 2, (2, *sizes))
        else:
            return False
        values[1, :half] = values[0, :half]
        first.append(tf.cast(values[0], kind))
        second.append(tf.cast(values[1], kind))
    return all(
        np.allclose(
            one[:half], other[:half], TOLERANCE, TOLERANCE, equal_nan=True
        )
        for one, other in zip(run(first), run(second), strict=True)
    )
