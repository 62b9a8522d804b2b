"""What a layer is made of: a graph and what in it is what."""

import base64
import dataclasses
import math
from typing import Any
import zlib

import tensorflow as tf

from keras_port.tf1.graph.read.meta_file import MAX_BYTES
from keras_port.tf1.graph.read.meta_file import check_constants

# Larger models have been, but were not saved in one file.
MAX_VARIABLE_BYTES = 2**35
GraphDef = Any


@dataclasses.dataclass(frozen=True)
class GraphInput:
    """A tensor that is an input of the layer.

    Args:
        key: Its key.
        dtype: Name of its type.
        shape: Its shape, `None` for unknown sizes, or for all of it.
    """

    key: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class FixedInput:
    """A tensor with one value in training and one in inference."""

    key: str
    dtype: str
    training: Any
    inference: Any


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable of the graph.

    Args:
        name: Its name.
        dtype: Name of its type.
        shape: Its shape.
        trainable: Whether TensorFlow 1 would train it.
        identity: By which name the graph's operations mean it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    trainable: bool
    identity: str


@dataclasses.dataclass(frozen=True)
class Program:
    """A graph without anything that is not needed, and what it is for.

    Args:
        graph: TensorFlow's record of the operations and functions.
        inputs: What the layer is called with, in this order.
        outputs: Keys of what it returns.
        constants: The tensors that have a fixed value.
        updates: Keys of what also runs in a training step.
        losses: Keys of the losses that the layer adds.
        variables: The variables.
    """

    graph: GraphDef
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: tuple[FixedInput, ...]
    updates: tuple[str, ...]
    losses: tuple[str, ...]
    variables: tuple[Variable, ...]

    def to_config(self) -> dict[str, Any]:
        """Returns all of it as what JSON can hold."""
        content = self.graph.SerializeToString(deterministic=True)
        return {
            "graph": base64.b64encode(zlib.compress(content, 9)).decode(),
            "graph_bytes": len(content),
            "inputs": [dataclasses.asdict(one) for one in self.inputs],
            "outputs": list(self.outputs),
            "feeds": [
                {
                    "key": one.key,
                    "dtype": one.dtype,
                    "in_training": one.training,
                    "otherwise": one.inference,
                }
                for one in self.constants
            ],
            "updates": list(self.updates),
            "losses": list(self.losses),
            "variables": [dataclasses.asdict(one) for one in self.variables],
        }


def from_config(config: dict[str, Any]) -> Program:
    """Returns the program that a configuration describes.

    Raises:
        ValueError: If it describes none.
    """
    try:
        size = int(config["graph_bytes"])
        packed = base64.b64decode(config["graph"], validate=True)
        content = unpacked(packed, size)
        graph = tf.compat.v1.GraphDef.FromString(content)
        program = Program(
            graph,
            tuple(GraphInput(**with_shape(one)) for one in config["inputs"]),
            tuple(config["outputs"]),
            tuple(
                FixedInput(
                    one["key"],
                    one["dtype"],
                    one["in_training"],
                    one["otherwise"],
                )
                for one in config["feeds"]
            ),
            tuple(config["updates"]),
            tuple(config["losses"]),
            tuple(Variable(**with_shape(one)) for one in config["variables"]),
        )
    # protobuf's DecodeError has no types and no nearer public base.
    except Exception as error:
        raise ValueError(
            "The configuration of this `GraphLayer` holds no whole graph: "
            f"{type(error).__name__}: {error}."
        ) from error
    check_constants(graph, "The graph of this `GraphLayer`")
    claimed = sum(
        math.prod(one.shape) * (tf.as_dtype(one.dtype).size or 1)
        for one in program.variables
    )
    if claimed > MAX_VARIABLE_BYTES:
        raise ValueError(
            f"The variables of this `GraphLayer` claim {claimed:,} bytes; at "
            f"most {MAX_VARIABLE_BYTES:,} are allowed."
        )
    return program


def unpacked(packed: bytes, size: int) -> bytes:
    """Returns compressed bytes in full, and never more than they should be."""
    if not 0 < size <= MAX_BYTES:
        raise ValueError(f"a graph has no {size:,} bytes")
    decompressor = zlib.decompressobj()
    content = decompressor.decompress(packed, size + 1)
    if len(content) != size:
        raise ValueError(f"not the {size:,} bytes that it says")
    return content


def with_shape(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record from JSON with its shape as a tuple."""
    shape = record["shape"]
    return {**record, "shape": None if shape is None else tuple(shape)}
