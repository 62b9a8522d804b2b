"""Finds the shapes and types of tensors, without running any of the graph.

TensorFlow's functions for shapes do more than they should with a graph that a
stranger made: they compute constants, however large, and some end the process.
So they run in a process of their own, on a graph of which nothing is left but
operations that are let in. Everything else is a placeholder there.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import math
from typing import NamedTuple

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.read import read_stated_shapes
from keras_port.tf1.graph.read import tensor_key
from keras_port.tf1.graph.select.gate import calls_function
from keras_port.tf1.graph.select.gate import is_let_in
from keras_port.tf1.graph.select.let_in import LIMITS
from keras_port.tf1.graph.select.let_in import explain_attributes
from keras_port.tf1.graph.select.let_in import explain_shape
from keras_port.tf1.graph.select.let_in import is_known_type
from keras_port.tf1.graph.select.shape_process import ask_for_shapes

# A larger constant holds weights. Only its shape matters.
MAX_CONSTANT_ELEMENTS = 4096
MAX_CONSTANT_BYTES = 1 << 16
STUB = "keras_port_stub"


class Slot(NamedTuple):
    """An input or output of an operation, as TensorFlow describes it.

    Args:
        kind: Number of its type.
        is_reference: Whether it is a reference to a variable.
    """

    kind: int
    is_reference: bool


def infer_specs(
    graph: protos.GraphDef,
    keys: Iterable[str],
    shapes: Mapping[str, tf.TensorShape] | None = None,
) -> dict[str, tf.TensorSpec]:
    """Returns the shapes and types of some tensors.

    Nothing of the graph is run, and this process hands none of it to
    TensorFlow.

    Args:
        graph: The operations that the tensors need.
        keys: The keys of the tensors.
        shapes: Shapes that replace those in the graph, by key. Defaults to
            `None`: none.

    Raises:
        ValueError: If TensorFlow does not accept the graph, or ends on it.
    """
    keys = list(keys)
    skeleton, names = Skeleton(graph, shapes or {}).build(keys)
    found = ask_for_shapes(skeleton, list(names.values()))
    return {
        key: tf.TensorSpec(shape, tf.as_dtype(kind).base_dtype)
        for key, (shape, kind) in zip(names, found, strict=True)
    }


class Skeleton:
    """Makes a copy of a graph that holds nothing but what is let in.

    Args:
        graph: The graph.
        shapes: Shapes that replace those in the graph, by key. What computes
            such a tensor is left out.
    """

    def __init__(
        self, graph: protos.GraphDef, shapes: Mapping[str, tf.TensorShape]
    ) -> None:
        self.graph = graph
        self.shapes = shapes
        self.nodes = {node.name: node for node in graph.node}
        self.descriptions = operations.describe_operations(
            {node.op for node in graph.node}
        )
        self.made = tf.compat.v1.GraphDef()
        self.made.versions.CopyFrom(graph.versions)
        self._stubs: dict[tuple[str, Slot], str] = {}
        replaced = {operation_name(key) for key in shapes}
        self._kept = {
            node.name
            for node in graph.node
            if may_be_imported(node) and node.name not in replaced
        }

    def build(
        self, keys: Iterable[str]
    ) -> tuple[protos.GraphDef, dict[str, str]]:
        """Returns the copy, and the keys in it for keys of the graph."""
        for name in self.nodes:
            if name in self._kept:
                self._add_copy(self.nodes[name])
        return self.made, {key: self._find_wanted(key) for key in keys}

    def _add_copy(self, node: protos.NodeDef) -> None:
        """Adds an operation, its inputs replaced where they are not let in."""
        copy = self.made.node.add(name=node.name, op=node.op)
        for name, value in node.attr.items():
            if not name.startswith("_"):
                copy.attr[name].CopyFrom(value)
        description = self.descriptions.get(node.op)
        slots = (
            []
            if description is None
            else list_slots(description.input_arg, node, description)
        )
        inputs = [one for one in node.input if not one.startswith("^")]
        for number, one in enumerate(inputs):
            key = tensor_key(one)
            source = key.rpartition(":")[0]
            # TensorFlow finds an input that is missing, or one too many.
            is_cut = source in self.nodes and source not in self._kept
            if is_cut and number < len(slots):
                key = self._get_stub(key, slots[number])
            copy.input.append(key)

    def _find_wanted(self, key: str) -> str:
        """Returns the key in the copy for a key of the graph."""
        name, _, number = key.rpartition(":")
        if name in self._kept or name not in self.nodes:
            return key
        node = self.nodes[name]
        if node.op not in self.descriptions:
            return self._get_stub(key, self._find_expected(key))
        description = self.descriptions[node.op]
        slots = list_slots(description.output_arg, node, description)
        if int(number) >= len(slots):
            problem = explain_attributes(node)
            raise ValueError(
                f"The operation {name!r} of type {node.op} "
                f"{problem or f'has {len(slots)} outputs'}. Received: {key!r}."
            )
        return self._get_stub(key, slots[int(number)])

    def _find_expected(self, key: str) -> Slot:
        """Returns what reads a tensor expects it to be.

        Only that tells the type of what an unknown operation returns.
        """
        for node in self.graph.node:
            description = self.descriptions.get(node.op)
            inputs = [tensor_key(one) for one in node.input if one[0] != "^"]
            if description is not None and key in inputs:
                slots = list_slots(description.input_arg, node, description)
                number = inputs.index(key)
                if number < len(slots):
                    return slots[number]
        name = operation_name(key)
        raise ValueError(
            f"The operation {name!r} is of the type "
            f"{show_name(self.nodes[name].op)}, which is not an operation of "
            "this TensorFlow."
        )

    def _get_stub(self, key: str, slot: Slot) -> str:
        """Returns the key of the placeholder that stands for a tensor."""
        if (key, slot) not in self._stubs:
            name = f"{STUB}_{len(self._stubs)}"
            while name in self.nodes:
                name += "_"
            self._stubs[key, slot] = f"{name}:0"
            op = "VariableV2" if slot.is_reference else "Placeholder"
            stub = self.made.node.add(name=name, op=op)
            stub.attr["dtype"].type = slot.kind
            stub.attr["shape"].shape.CopyFrom(self._find_shape(key))
        return self._stubs[key, slot]

    def _find_shape(self, key: str) -> protos.ShapeProto:
        """Returns the shape that a graph states for an output, if it does."""
        if key in self.shapes:
            return self.shapes[key].as_proto()
        name, _, text = key.rpartition(":")
        node, number = self.nodes[name], int(text)
        unknown = tf.TensorShape(None).as_proto()
        stated = read_stated_shapes(node)
        if node.attr["output_shapes"].list.shape:
            stated = list(node.attr["output_shapes"].list.shape)
        if number == 0 and node.attr["value"].HasField("tensor"):
            stated = [node.attr["value"].tensor.tensor_shape]
        elif number == 0 and node.attr["shape"].HasField("shape"):
            stated = [node.attr["shape"].shape]
        if number >= len(stated) or explain_shape(stated[number]):
            return unknown
        return stated[number]


def may_be_imported(node: protos.NodeDef) -> bool:
    """Returns whether TensorFlow sees an operation when it infers shapes."""
    return (
        is_let_in(node.op)
        and not calls_function(node)
        and not explain_attributes(node)
        and not is_large_constant(node)
    )


def is_large_constant(node: protos.NodeDef) -> bool:
    """Returns whether an operation is a constant that holds weights."""
    if node.op != "Const":
        return False
    tensor = node.attr["value"].tensor
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    return bool(
        math.prod(sizes) > MAX_CONSTANT_ELEMENTS
        or tensor.ByteSize() > MAX_CONSTANT_BYTES
    )


def list_slots(
    arguments: Iterable[protos.ArgDef],
    node: protos.NodeDef,
    description: protos.OpDef,
) -> list[Slot]:
    """Returns the inputs or the outputs of an operation, one by one.

    Args:
        arguments: TensorFlow's description of the inputs or of the outputs.
        node: The operation.
        description: TensorFlow's description of its type.
    """
    defaults = {one.name: one.default_value for one in description.attr}
    return [
        Slot(kind, argument.is_ref)
        for argument in arguments
        for kind in list_types(argument, node, defaults)
        if is_known_type(kind)
    ]


def list_types(
    argument: protos.ArgDef,
    node: protos.NodeDef,
    defaults: Mapping[str, protos.AttrValue],
) -> Iterator[int]:
    """Yields the types of one argument, which may be several tensors."""

    def get(name: str) -> protos.AttrValue:
        return node.attr[name] if name in node.attr else defaults[name]

    if argument.type_list_attr:
        yield from get(argument.type_list_attr).list.type
        return
    count = get(argument.number_attr).i if argument.number_attr else 1
    kind = argument.type or get(argument.type_attr).type
    for _ in range(min(count, LIMITS["N"])):
        yield kind
