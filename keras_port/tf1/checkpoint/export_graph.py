"""A Keras model as a TensorFlow 1 graph: variables, Saver, predictions."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1.checkpoint.forward import ModelState
from keras_port.tf1.checkpoint.forward import make_forward
from keras_port.tf1.checkpoint.forward import refuse_python

SIGNATURE = "serving_default"
# Where a loop of the first control flow begins.
LOOP = "Enter"


@dataclasses.dataclass(frozen=True)
class ExportGraph:
    """A graph, and what in it belongs to the model, by names."""

    graph: tf.Graph
    variables: dict[str, tf.Variable]
    inputs: dict[str, tf.Tensor]
    outputs: dict[str, tf.Tensor]


def write_graph(
    state: ModelState, prefix: pathlib.Path, *, forward: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Writes `.index`, `.data`, `.meta` and `checkpoint`.

    Returns:
        The names of the placeholders and of the outputs, empty without a
        forward pass.
    """
    made = best_graph(state, forward=forward)
    with (
        made.graph.as_default(),
        tf.compat.v1.Session(graph=made.graph) as session,
    ):
        # Relative, so that the folder may be moved as a whole.
        saver = tf.compat.v1.train.Saver(
            list(made.variables.values()), save_relative_paths=True
        )
        for name, variable in made.variables.items():
            session.run(
                variable.initializer,
                {variable.initial_value: value_of(name, state)},
            )
        saver.save(session, os.fspath(prefix), write_meta_graph=False)
        # Without defaults, which older releases may not know.
        meta = saver.export_meta_graph(strip_default_attrs=True)
        if forward:
            add_signature(meta, made.inputs, made.outputs)
    prefix.with_name(f"{prefix.name}.meta").write_bytes(
        meta.SerializeToString(deterministic=True)
    )
    return tensor_names(made.inputs), tensor_names(made.outputs)


def best_graph(state: ModelState, *, forward: bool) -> ExportGraph:
    """Returns a graph for early releases where the model allows it."""
    try:
        made = build_graph(state, forward=forward, early=True)
    except ValueError:
        # Raises again, and says why, unless it was for the early control flow.
        return build_graph(state, forward=forward, early=False)
    if any(node.op == LOOP for node in made.graph.as_graph_def().node):
        return build_graph(state, forward=forward, early=False)
    return made


def build_graph(
    state: ModelState, *, forward: bool, early: bool
) -> ExportGraph:
    """Returns the variables and, if asked for, the computation.

    With `early`, conditions are `Switch` and `Merge`, which every TensorFlow 1
    has, and not the functional `If`, which came late. Keras' loops do not work
    in that way, so a graph with loops is built again without it.
    """
    inputs: dict[str, tf.Tensor] = {}
    outputs: dict[str, tf.Tensor] = {}
    with tf.Graph().as_default() as graph, control_flow(early=early):
        variables = make_variables(state)
        if forward:
            inputs, outputs = make_forward(state, variables)
            refuse_python(graph)
    return ExportGraph(graph, variables, inputs, outputs)


@contextlib.contextmanager
def control_flow(*, early: bool) -> Iterator[None]:
    """Chooses TensorFlow's first or second control flow within the block."""
    v1 = tf.compat.v1
    was_second = v1.control_flow_v2_enabled()
    (v1.disable_control_flow_v2 if early else v1.enable_control_flow_v2)()
    try:
        yield
    finally:
        (
            v1.enable_control_flow_v2
            if was_second
            else v1.disable_control_flow_v2
        )()


def make_variables(state: ModelState) -> dict[str, tf.Variable]:
    """Returns the graph's variables by their names.

    Reference variables, which every TensorFlow 1 has, and whose value is
    `W:0`. Their initial value is 0, of which the file holds only the shape.
    """
    trainable = {id(v) for v in state.model.trainable_variables}
    made = {}
    for weight in state.model.weights:
        name = state.names[weight.path]
        made[name] = make_variable(
            name, state.values[id(weight)], id(weight) in trainable
        )
    for name, value in state.extra.items():
        made[name] = make_variable(name, value, trainable=False)
    return made


def make_variable(name: str, value: np.ndarray, trainable: bool) -> tf.Variable:
    """Returns one variable of exactly this name."""
    return tf.compat.v1.get_variable(
        name,
        initializer=lambda: tf.zeros(value.shape, value.dtype),
        dtype=value.dtype,
        trainable=trainable,
        use_resource=False,
    )


def value_of(name: str, state: ModelState) -> np.ndarray:
    """Returns the value of the graph's variable of this name."""
    if name in state.extra:
        return state.extra[name]
    return next(
        state.values[id(weight)]
        for weight in state.model.weights
        if state.names[weight.path] == name
    )


def add_signature(
    meta: Any, inputs: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]
) -> None:
    """Adds a signature, by which other tools find inputs and outputs."""
    made = meta.signature_def[SIGNATURE]
    made.method_name = tf.compat.v1.saved_model.PREDICT_METHOD_NAME
    for entries, tensors in ((made.inputs, inputs), (made.outputs, outputs)):
        for name, tensor in tensors.items():
            entries[name].name = tensor.name
            entries[name].dtype = tensor.dtype.as_datatype_enum
            entries[name].tensor_shape.CopyFrom(tensor.shape.as_proto())


def tensor_names(tensors: Mapping[str, tf.Tensor]) -> tuple[str, ...]:
    """Returns the names under which a session takes or gives tensors."""
    return tuple(tensor.name for tensor in tensors.values())
