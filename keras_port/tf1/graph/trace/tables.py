"""Traces lookups in tables whose keys and values are in the graph."""

import tensorflow as tf

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.values import TableRef

# Two of a million different strings have the same number once in 10 million
# such tables.
BUCKETS = 2**63 - 1


def run_initialize(job: Job) -> None:
    """Sets the output to the table, which is not a tensor."""
    keys, values = job.get_tensors()
    job.set_output(TableRef(tf.reshape(keys, [-1]), tf.reshape(values, [-1])))


def run_find(job: Job) -> None:
    """Looks up the values of keys."""
    table = get_table(job)
    queries, default = (job.get_tensor(key) for key in job.node.inputs[1:3])
    order = tf.argsort(number_keys(table.keys))
    ordered = tf.gather(number_keys(table.keys), order)
    flat = tf.reshape(queries, [-1])
    found = tf.gather(
        order,
        tf.minimum(
            tf.searchsorted(ordered, number_keys(flat)), tf.size(order) - 1
        ),
    )
    results = tf.where(
        tf.equal(tf.gather(table.keys, found), flat),
        tf.gather(table.values, found),
        default,
    )
    job.set_output(tf.reshape(results, tf.shape(queries)))


def run_size(job: Job) -> None:
    """Returns the number of keys in a table."""
    job.set_output(tf.size(get_table(job).keys, tf.int64))


def get_table(job: Job) -> TableRef:
    """Returns the table that an operation reads."""
    table = job.env[job.node.inputs[0]]
    if not isinstance(table, TableRef):
        raise ValueError(
            f"The graph is broken: the operation {job.node.name!r} of type "
            f"{job.node.op} must look up in a table{job.scope.where()}. "
            f"Received: {job.node.inputs[0]!r}."
        )
    return table


def number_keys(keys: tf.Tensor) -> tf.Tensor:
    """Returns numbers that are equal for equal keys, and can be sorted."""
    if keys.dtype == tf.string:
        return tf.strings.to_hash_bucket_fast(keys, BUCKETS)
    return keys


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(operations.TABLE_INITIALIZERS, run_initialize),
    "LookupTableFind": run_find,
    "LookupTableFindV2": run_find,
    "LookupTableSize": run_size,
    "LookupTableSizeV2": run_size,
}
