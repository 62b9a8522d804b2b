"""What a graph's collections say: variables, updates, losses."""

import dataclasses
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.read.nodes import tensor_key

MetaGraphDef = Any
VARIABLE_COLLECTIONS = (
    "trainable_variables",
    "variables",
    "local_variables",
    "model_variables",
    "moving_average_variables",
)


@dataclasses.dataclass(frozen=True)
class Collections:
    """The collections that matter here.

    Args:
        trainable: Names of the variables that TensorFlow 1 would train.
        known: Record of each variable, by the name of its operation.
        updates: Names of operations or tensors to run with a step.
        losses: Keys of the regularisation losses.
    """

    trainable: frozenset[str]
    known: dict[str, Any]
    updates: tuple[str, ...]
    losses: tuple[str, ...]


def read_collections(meta: MetaGraphDef) -> Collections:
    """Returns the collections of a graph; those it has not are empty."""
    known: dict[str, Any] = {}
    trainable = set()
    for name in VARIABLE_COLLECTIONS:
        for record in variable_records(meta, name):
            operation = record.variable_name.rpartition(":")[0]
            known.setdefault(operation, record)
            if name == "trainable_variables":
                trainable.add(operation)
    return Collections(
        frozenset(trainable),
        known,
        tuple(names_in(meta, "update_ops")),
        tuple(map(tensor_key, names_in(meta, "regularization_losses"))),
    )


def names_in(meta: MetaGraphDef, collection: str) -> list[str]:
    """Returns the names of the operations or tensors in a collection."""
    if collection not in meta.collection_def:
        return []
    values = meta.collection_def[collection].node_list.value
    return list(dict.fromkeys(values))


def variable_records(meta: MetaGraphDef, collection: str) -> list[Any]:
    """Returns TensorFlow's records of the variables in a collection."""
    if collection not in meta.collection_def:
        return []
    # Comes with TensorFlow, without types. Imported here because it takes a
    # tenth of a second.
    from google.protobuf import message_factory  # type: ignore[import-untyped]

    pool = tf.compat.v1.MetaGraphDef.DESCRIPTOR.file.pool
    # TensorFlow's public names hold no class for this record.
    kind = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.VariableDef")
    )
    records = []
    for content in meta.collection_def[collection].bytes_list.value:
        try:
            records.append(kind.FromString(content))
        # protobuf's DecodeError has no types and no nearer public base.
        except Exception as error:
            raise ValueError(
                f"The graph is broken: its collection {collection!r} holds "
                "something that is no variable."
            ) from error
    return records
