"""A program: what a layer computes, and how it is stored in a model file."""

import base64
import dataclasses
import math
from typing import Any
import zlib

import tensorflow as tf

from keras_port.tf1._files import MAX_META_BYTES
from keras_port.tf1.graph.read.graph_size import check_constants
from keras_port.tf1.graph.read.protos import GraphDef

# Larger models exist, but they were not saved in one file.
MAX_VARIABLE_BYTES = 2**35


@dataclasses.dataclass(frozen=True)
class GraphInput:
    """A tensor that the layer is called with.

    Args:
        key: Key of the tensor.
        dtype: Name of its type.
        shape: Its shape, with `None` for unknown sizes, or `None` if not even
            the number of axes is known.
        sparse: Name of the sparse tensor that it is a part of: its indices,
            its values or its shape, in this order. Defaults to `""`: of none.
    """

    key: str
    dtype: str
    shape: tuple[int | None, ...] | None
    sparse: str = ""

    def open_first_axis(self) -> "GraphInput":
        """Returns the same input with any number of rows."""
        return dataclasses.replace(self, shape=(None, *(self.shape or ())[1:]))


@dataclasses.dataclass(frozen=True)
class FixedInput:
    """A tensor that has one value in training and one in inference.

    Args:
        key: Key of the tensor.
        dtype: Name of its type.
        training: Its value in training, as numbers in lists.
        inference: Its value in inference.
    """

    key: str
    dtype: str
    training: Any
    inference: Any

    def to_config(self) -> dict[str, Any]:
        """Returns what is stored of it. Files depend on these keys."""
        return {
            "key": self.key,
            "dtype": self.dtype,
            "in_training": self.training,
            "otherwise": self.inference,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FixedInput":
        """Returns what `to_config` has stored."""
        return cls(
            config["key"],
            config["dtype"],
            config["in_training"],
            config["otherwise"],
        )


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable of the graph.

    Args:
        name: Name of its operation.
        dtype: Name of its type.
        shape: Its shape.
        trainable: Whether TensorFlow 1 would train it.
        identity: The name under which its value is kept. Operations with the
            same identity are one variable.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    trainable: bool
    identity: str


@dataclasses.dataclass(frozen=True)
class Program:
    """The part of a graph that a layer runs, and what it runs it for.

    Args:
        graph: The operations and functions.
        inputs: What the layer is called with, in this order.
        outputs: Keys of the tensors that it returns.
        constants: The tensors with fixed values.
        updates: Keys of what also runs in a training step.
        losses: Keys of the losses that the layer adds.
        variables: The variables.
        batch_size: The number of rows of all inputs and outputs, if it is fixed
            and the rows do not depend on each other. Defaults to `None`.
    """

    graph: GraphDef
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: tuple[FixedInput, ...]
    updates: tuple[str, ...]
    losses: tuple[str, ...]
    variables: tuple[Variable, ...]
    batch_size: int | None = None

    def to_config(self) -> dict[str, Any]:
        """Returns the program as values that JSON can hold."""
        content = self.graph.SerializeToString(deterministic=True)
        return {
            "graph": base64.b64encode(zlib.compress(content, 9)).decode(),
            "graph_bytes": len(content),
            "inputs": [dataclasses.asdict(one) for one in self.inputs],
            "outputs": list(self.outputs),
            # The name that the stored format has.
            "feeds": [one.to_config() for one in self.constants],
            "updates": list(self.updates),
            "losses": list(self.losses),
            "variables": [dataclasses.asdict(one) for one in self.variables],
            "batch_size": self.batch_size,
        }


def load_program(config: dict[str, Any]) -> Program:
    """Returns the program that `Program.to_config` has stored.

    Raises:
        ValueError: If the configuration is broken.
    """
    try:
        size = int(config["graph_bytes"])
        packed = base64.b64decode(config["graph"], validate=True)
        content = decompress(packed, size)
        graph = tf.compat.v1.GraphDef.FromString(content)
        program = Program(
            graph,
            tuple(GraphInput(**restore_shape(one)) for one in config["inputs"]),
            tuple(config["outputs"]),
            tuple(FixedInput.from_config(one) for one in config["feeds"]),
            tuple(config["updates"]),
            tuple(config["losses"]),
            tuple(
                Variable(**restore_shape(one)) for one in config["variables"]
            ),
            config["batch_size"],
        )
    # protobuf's DecodeError has no types and no nearer public base.
    except Exception as error:
        raise ValueError(
            "The configuration of this `GraphLayer` is broken: "
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


def decompress(packed: bytes, size: int) -> bytes:
    """Decompresses `size` bytes; more or fewer are an error.

    At most `size + 1` bytes are ever in memory.
    """
    if not 0 < size <= MAX_META_BYTES:
        raise ValueError(
            f"a graph has 1 to {MAX_META_BYTES:,} bytes. Received: "
            f"graph_bytes={size:,}"
        )
    content = zlib.decompressobj().decompress(packed, size + 1)
    if len(content) != size:
        received = "more" if len(content) > size else f"{len(content):,}"
        raise ValueError(
            f"the graph must have {size:,} bytes, as `graph_bytes` says. "
            f"Received: {received}"
        )
    return content


def restore_shape(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record with its shape as a tuple, which JSON made a list."""
    shape = record["shape"]
    return {**record, "shape": None if shape is None else tuple(shape)}
