"""Reads a graph's collections: its variables, updates and losses."""

import dataclasses

from keras_port.tf1._file_kinds import find_message
from keras_port.tf1.graph.read.nodes import tensor_key
from keras_port.tf1.graph.read.protos import MetaGraphDef
from keras_port.tf1.graph.read.protos import VariableDef

VARIABLE_COLLECTIONS = (
    "trainable_variables",
    "variables",
    "local_variables",
    "model_variables",
    "moving_average_variables",
)


@dataclasses.dataclass(frozen=True)
class Collections:
    """The collections that a layer needs.

    Args:
        trainable: Names of the variables that TensorFlow 1 would train.
        variables: Record of every variable, by the name of its operation.
        updates: Names of the operations or tensors to run in every training
            step.
        losses: Keys of the regularization losses.
    """

    trainable: frozenset[str]
    variables: dict[str, VariableDef]
    updates: tuple[str, ...]
    losses: tuple[str, ...]


def read_collections(meta: MetaGraphDef) -> Collections:
    """Returns the collections of a graph; a missing one is empty."""
    variables: dict[str, VariableDef] = {}
    trainable = set()
    for collection in VARIABLE_COLLECTIONS:
        for record in read_variable_records(meta, collection):
            name = record.variable_name.rpartition(":")[0]
            variables.setdefault(name, record)
            if collection == "trainable_variables":
                trainable.add(name)
    return Collections(
        frozenset(trainable),
        variables,
        tuple(read_names(meta, "update_ops")),
        tuple(map(tensor_key, read_names(meta, "regularization_losses"))),
    )


def read_names(meta: MetaGraphDef, collection: str) -> list[str]:
    """Returns the names of the operations or tensors in a collection."""
    if collection not in meta.collection_def:
        return []
    values = meta.collection_def[collection].node_list.value
    return list(dict.fromkeys(values))


def read_variable_records(
    meta: MetaGraphDef, collection: str
) -> list[VariableDef]:
    """Returns TensorFlow's records of the variables in a collection."""
    if collection not in meta.collection_def:
        return []
    kind = find_message("tensorflow.VariableDef")
    records = []
    for content in meta.collection_def[collection].bytes_list.value:
        try:
            records.append(kind.FromString(content))
        # protobuf's DecodeError has no types and no nearer public base.
        except Exception as error:
            raise ValueError(
                f"The graph is broken: its collection {collection!r} must "
                "hold variables only, and one entry cannot be read."
            ) from error
    return records
