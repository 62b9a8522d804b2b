"""Writes a Keras model as a TensorFlow 1 graph with a Saver."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_SIGNATURE = "serving_default"
# The operation that starts a loop of TensorFlow's first control flow.
_LOOP_START = "Enter"
# Operations that call back into the Python process that built the graph.
_PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
# What a layer may raise that cannot be called on symbolic tensors.
_CALL_ERRORS = (
    AttributeError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)
_FIX = "Use `include_graph=False`: the `.meta` then holds only the variables."


@dataclasses.dataclass(frozen=True)
class ModelState:
    """A model's values, read before a graph is opened that cannot read them.

    Args:
        model: The model.
        names: TensorFlow 1's name for the path of every weight.
        values: Value of every variable of the model, by identity.
        extra: Values that belong to the optimizer, by TensorFlow 1's name.
    """

    model: keras.Model
    names: Mapping[str, str]
    values: Mapping[int, np.ndarray]
    extra: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _ExportGraph:
    """A graph and its variables, inputs and outputs by name."""

    graph: tf.Graph
    variables: dict[str, tf.Variable]
    inputs: dict[str, tf.Tensor]
    outputs: dict[str, tf.Tensor]


def write_graph(
    state: ModelState, prefix: pathlib.Path, *, include_graph: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Writes `.index`, `.data`, `.meta` and `checkpoint`.

    Returns:
        The names of the placeholders and of the outputs, empty without the
        computation.
    """
    built = _build_compatible_graph(state, include_graph=include_graph)
    with (
        built.graph.as_default(),
        tf.compat.v1.Session(graph=built.graph) as session,
    ):
        # Relative paths, so that the whole folder can be moved.
        saver = tf.compat.v1.train.Saver(
            list(built.variables.values()), save_relative_paths=True
        )
        for name, variable in built.variables.items():
            session.run(
                variable.initializer,
                {variable.initial_value: _get_value(name, state)},
            )
        saver.save(session, os.fspath(prefix), write_meta_graph=False)
        # Without default attributes, which older releases may not know.
        meta = saver.export_meta_graph(strip_default_attrs=True)
        if include_graph:
            _add_signature(meta, built.inputs, built.outputs)
    prefix.with_name(f"{prefix.name}.meta").write_bytes(
        meta.SerializeToString(deterministic=True)
    )
    return _tensor_names(built.inputs), _tensor_names(built.outputs)


def _build_compatible_graph(
    state: ModelState, *, include_graph: bool
) -> _ExportGraph:
    """Builds a graph for early releases, or for late ones if necessary."""
    try:
        built = _build_graph(state, include_graph=include_graph, early=True)
    except ValueError:
        # Raises again, unless the early control flow was the reason.
        return _build_graph(state, include_graph=include_graph, early=False)
    if any(node.op == _LOOP_START for node in built.graph.as_graph_def().node):
        return _build_graph(state, include_graph=include_graph, early=False)
    return built


def _build_graph(
    state: ModelState, *, include_graph: bool, early: bool
) -> _ExportGraph:
    """Builds the variables and, with `include_graph`, the computation.

    With `early`, conditions become `Switch` and `Merge`, which every release
    of TensorFlow 1 has, and not the functional `If`, which came late. Keras'
    loops do not work that way, so a graph with loops is built a second time
    without `early`.
    """
    inputs: dict[str, tf.Tensor] = {}
    outputs: dict[str, tf.Tensor] = {}
    with tf.Graph().as_default() as graph, _use_control_flow(early=early):
        variables = _make_variables(state)
        if include_graph:
            inputs, outputs = _call_model(state, variables)
            _check_no_python(graph)
    return _ExportGraph(graph, variables, inputs, outputs)


@contextlib.contextmanager
def _use_control_flow(*, early: bool) -> Iterator[None]:
    """Selects TensorFlow's first or second control flow for the block."""
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


def _make_variables(state: ModelState) -> dict[str, tf.Variable]:
    """Creates the graph's variables and returns them by name.

    They are reference variables, which every TensorFlow 1 has, and whose value
    is `W:0`. Their initial value is 0, of which the file holds only the shape.
    """
    trainable = {id(v) for v in state.model.trainable_variables}
    made = {}
    for weight in state.model.weights:
        name = state.names[weight.path]
        made[name] = _make_variable(
            name, state.values[id(weight)], trainable=id(weight) in trainable
        )
    for name, value in state.extra.items():
        made[name] = _make_variable(name, value, trainable=False)
    return made


def _make_variable(
    name: str, value: np.ndarray, *, trainable: bool
) -> tf.Variable:
    """Creates a variable with exactly this name."""
    return tf.compat.v1.get_variable(
        name,
        initializer=lambda: tf.zeros(value.shape, value.dtype),
        dtype=value.dtype,
        trainable=trainable,
        use_resource=False,
    )


def _get_value(name: str, state: ModelState) -> np.ndarray:
    """Returns the value of the graph's variable with this name."""
    if name in state.extra:
        return state.extra[name]
    return next(
        state.values[id(weight)]
        for weight in state.model.weights
        if state.names[weight.path] == name
    )


def _call_model(
    state: ModelState, made: Mapping[str, tf.Variable]
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Calls the model on placeholders, with the graph's variables as weights.

    Returns:
        The placeholders and the outputs, by name.
    """
    model = state.model
    reads = {
        id(weight): tf.convert_to_tensor(made[state.names[weight.path]])
        for weight in model.weights
    }

    def get_tensors(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
        # States of random generators are constants: inference is not random.
        return [
            reads[id(v)] if id(v) in reads else tf.constant(state.values[id(v)])
            for v in variables
        ]

    inputs: dict[str, tf.Tensor] = {}
    placeholders = keras.tree.map_structure(
        lambda tensor: _add_placeholder(tensor, inputs), _get_input(model)
    )
    try:
        results, _ = model.stateless_call(
            get_tensors(model.trainable_variables),
            get_tensors(model.non_trainable_variables),
            placeholders,
            training=False,
        )
    except _CALL_ERRORS as error:
        text = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"The model {model.name!r} cannot be computed in a TensorFlow 1 "
            f"graph: {text}. {_FIX}"
        ) from error
    results = keras.tree.flatten(results)
    outputs = {}
    for number, tensor in enumerate(results):
        name = "output" if len(results) == 1 else f"output_{number}"
        outputs[name] = tf.identity(tensor, name=name)
    return inputs, outputs


def _get_input(model: keras.Model) -> Any:
    """Returns the symbolic inputs, in the structure that the model takes."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        raise ValueError(
            f"The model {model.name!r} does not define its inputs: it is "
            f"neither functional nor a built Sequential. {_FIX}"
        )
    # A Sequential has one input, and no `input` before it is called.
    return inputs[0] if isinstance(model, keras.Sequential) else model.input


def _add_placeholder(
    tensor: keras.KerasTensor, inputs: dict[str, tf.Tensor]
) -> tf.Tensor:
    """Creates a placeholder for one input and adds it to `inputs`."""
    placeholder = tf.compat.v1.placeholder(
        tensor.dtype, tensor.shape, name=tensor.name
    )
    inputs[tensor.name] = placeholder
    return placeholder


def _check_no_python(graph: tf.Graph) -> None:
    """Raises if the graph calls Python, which no other process can do."""
    for node in graph.as_graph_def().node:
        if node.op in _PYTHON_OPS:
            raise ValueError(
                f"The operation {node.name!r} calls a Python function, which "
                f"cannot be saved to a file. {_FIX}"
            )


def _add_signature(
    meta: tf.compat.v1.MetaGraphDef,
    inputs: Mapping[str, tf.Tensor],
    outputs: Mapping[str, tf.Tensor],
) -> None:
    """Adds a signature, by which other tools find inputs and outputs."""
    signature = meta.signature_def[_SIGNATURE]
    signature.method_name = tf.compat.v1.saved_model.PREDICT_METHOD_NAME
    for entries, tensors in (
        (signature.inputs, inputs),
        (signature.outputs, outputs),
    ):
        for name, tensor in tensors.items():
            entries[name].name = tensor.name
            entries[name].dtype = tensor.dtype.as_datatype_enum
            entries[name].tensor_shape.CopyFrom(tensor.shape.as_proto())


def _tensor_names(tensors: Mapping[str, tf.Tensor]) -> tuple[str, ...]:
    """Returns the names under which a session feeds or fetches tensors."""
    return tuple(tensor.name for tensor in tensors.values())
