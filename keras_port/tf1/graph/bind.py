"""Binds what a layer is called with to the inputs of its graph."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import itertools
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import tensor_key


def bind_inputs(given: Any, inputs: Sequence[GraphInput]) -> list[tf.Tensor]:
    """Returns one tensor for every input of the graph, in its type.

    Args:
        given: A tensor, a list or tuple of them, or a dictionary by names. A
            sparse input takes a `tf.SparseTensor`.
        inputs: The inputs of the graph.
    """
    groups = group_inputs(inputs)
    names = [one[0].sparse or one[0].key for one in groups]
    if isinstance(given, Mapping):
        by_name = {
            name if name in names else tensor_key(name): one
            for name, one in ((str(key), one) for key, one in given.items())
        }
        if by_name.keys() != set(names):
            raise ValueError(
                f"`inputs` must hold {names}. Received: {sorted(by_name)}."
            )
        several = [by_name[name] for name in names]
    else:
        several = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(several) != len(groups):
        raise ValueError(
            f"`inputs` must hold {len(groups)} tensors, for {names}. Received: "
            f"{len(several)}."
        )
    return [
        tensor
        for one, group in zip(several, groups, strict=True)
        for tensor in bind_group(one, group)
    ]


def group_inputs(inputs: Sequence[GraphInput]) -> list[list[GraphInput]]:
    """Returns the inputs, those of every sparse tensor together."""
    return [
        list(group)
        for _, group in itertools.groupby(
            inputs, key=lambda one: one.sparse or one.key
        )
    ]


def bind_group(given: Any, group: Sequence[GraphInput]) -> Iterator[tf.Tensor]:
    """Yields the tensors of one input, three if it is sparse."""
    if not group[0].sparse:
        yield cast_input(given, group[0])
        return
    if not isinstance(given, tf.SparseTensor):
        raise TypeError(
            f"The input {group[0].sparse!r} of the graph is sparse, so it must "
            f"be a `tf.SparseTensor`. Received: {type(given).__name__}."
        )
    parts = (given.indices, given.values, given.dense_shape)
    for part, one in zip(parts, group, strict=True):
        yield cast_input(part, one)


def cast_input(tensor: Any, wanted: GraphInput) -> tf.Tensor:
    """Returns a tensor in the type of an input, its shape checked."""
    tensor = tf.cast(tf.convert_to_tensor(tensor), wanted.dtype)
    if not tensor.shape.is_compatible_with(tf.TensorShape(wanted.shape)):
        rows = wanted.shape[0] if wanted.shape else None
        is_batch = rows is not None and tensor.shape[1:].is_compatible_with(
            wanted.shape[1:] if wanted.shape else ()
        )
        fix = (
            f" Fill it up to {rows} rows, because an output depends on all of "
            "them."
            if is_batch
            else ""
        )
        raise ValueError(
            f"The input {operation_name(wanted.key)!r} of the graph has the "
            f"shape {wanted.shape}. Received: {tuple(tensor.shape)}.{fix}"
        )
    if wanted.shape is None or tensor.shape.rank is None:
        return tensor
    sizes = zip(tensor.shape, wanted.shape, strict=True)
    if any(have is None and want is not None for have, want in sizes):
        # Known only when the step runs. The error of the graph is unclear.
        tensor = tf.ensure_shape(tensor, wanted.shape)
    return tensor
