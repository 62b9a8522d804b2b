"""Reads the signatures of a graph: its named inputs and outputs."""

import dataclasses

from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import operation_name
from keras_port.tf1.graph.read.nodes import tensor_key
from keras_port.tf1.graph.read.protos import MetaGraphDef
from keras_port.tf1.graph.read.protos import TensorInfo

# A signature of TensorFlow itself, which runs the initializers.
INTERNAL = "__saved_model_init_op"


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and outputs that the author of a graph has named.

    Args:
        inputs: For every input, the keys of its tensor, or of the indices, the
            values and the shape of a sparse one.
        outputs: The same for every output.
    """

    inputs: dict[str, tuple[str, ...]]
    outputs: dict[str, tuple[str, ...]]


def read_signatures(meta: MetaGraphDef, scope: Scope) -> dict[str, Signature]:
    """Returns the signatures of a graph whose tensors exist, by name."""
    found = {}
    for name, record in sorted(meta.signature_def.items()):
        signature = Signature(
            read_tensors(record.inputs), read_tensors(record.outputs)
        )
        keys = [
            key
            for tensors in (signature.inputs, signature.outputs)
            for several in tensors.values()
            for key in several
        ]
        exist = all(operation_name(key) in scope.nodes for key in keys)
        if name != INTERNAL and signature.outputs and exist:
            found[name] = signature
    return found


def read_tensors(infos: dict[str, TensorInfo]) -> dict[str, tuple[str, ...]]:
    """Returns the keys of the tensors of a signature, sorted by their names."""
    found = {}
    for name, info in sorted(infos.items()):
        sparse = info.coo_sparse
        names = (
            (
                sparse.indices_tensor_name,
                sparse.values_tensor_name,
                sparse.dense_shape_tensor_name,
            )
            if info.WhichOneof("encoding") == "coo_sparse"
            else (info.name,)
        )
        found[name] = tuple(map(tensor_key, names))
    return found
