"""A Keras model as a TensorFlow 1 graph: variables, Saver, predictions."""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# What a layer may raise that was not made for symbolic tensors.
FORWARD_ERRORS = (
    AttributeError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)
# They call back into the Python process that made the graph.
PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class ModelState:
    """A model's values, read before a graph is opened that cannot read them.

    Args:
        model: The model.
        names: TensorFlow 1's name for the path of each weight.
        values: Value of each of the model's variables, by identity.
        extra: Values that belong to the optimizer, by TensorFlow 1's name.
    """

    model: keras.Model
    names: Mapping[str, str]
    values: dict[int, np.ndarray]
    extra: dict[str, np.ndarray]


def write_graph(
    state: ModelState, prefix: pathlib.Path, *, forward: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Writes `.index`, `.data`, `.meta` and `checkpoint`.

    Returns:
        The names of the placeholders and of the outputs, empty without a
        forward pass.
    """
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        made = make_variables(state)
        inputs: dict[str, tf.Tensor] = {}
        outputs: dict[str, tf.Tensor] = {}
        if forward:
            inputs, outputs = make_forward(state, made)
            refuse_python(graph)
        # Relative, so that the folder may be moved as a whole.
        saver = tf.compat.v1.train.Saver(
            list(made.values()), save_relative_paths=True
        )
        for name, variable in made.items():
            session.run(
                variable.initializer,
                {variable.initial_value: value_of(name, state)},
            )
        saver.save(session, os.fspath(prefix), write_meta_graph=False)
        # Without defaults, which older releases may not know.
        meta = saver.export_meta_graph(strip_default_attrs=True)
        if forward:
            add_signature(meta, inputs, outputs)
    prefix.with_name(f"{prefix.name}.meta").write_bytes(
        meta.SerializeToString(deterministic=True)
    )
    return tensor_names(inputs), tensor_names(outputs)


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


def make_forward(
    state: ModelState, made: Mapping[str, tf.Variable]
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Runs the model symbolically, its weights being the graph's variables.

    Returns:
        The placeholders and the outputs, by their names.
    """
    model = state.model
    reads = {
        id(weight): tf.convert_to_tensor(made[state.names[weight.path]])
        for weight in model.weights
    }

    def tensors(variables: list[keras.Variable]) -> list[tf.Tensor]:
        # States of random generators are constants: nothing is random here.
        return [
            reads[id(v)] if id(v) in reads else tf.constant(state.values[id(v)])
            for v in variables
        ]

    inputs: dict[str, tf.Tensor] = {}
    placeholders = keras.tree.map_structure(
        lambda tensor: make_placeholder(tensor, inputs), model_input(model)
    )
    try:
        results, _ = model.stateless_call(
            tensors(model.trainable_variables),
            tensors(model.non_trainable_variables),
            placeholders,
            training=False,
        )
    except FORWARD_ERRORS as error:
        text = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ValueError(
            f"The model {model.name!r} cannot be computed in a TensorFlow 1 "
            f"graph: {text}. Use `forward=False`: the `.meta` then holds the "
            "variables alone."
        ) from error
    results = keras.tree.flatten(results)
    outputs = {}
    for number, tensor in enumerate(results):
        name = "output" if len(results) == 1 else f"output_{number}"
        outputs[name] = tf.identity(tensor, name=name)
    return inputs, outputs


def model_input(model: keras.Model) -> Any:
    """Returns the symbolic inputs of a functional or Sequential model."""
    found = getattr(model, "inputs", None)
    if not found:
        raise ValueError(
            f"The model {model.name!r} does not say what its inputs are: it is "
            "neither functional nor a built Sequential. Use `forward=False`: "
            "the `.meta` then holds the variables alone."
        )
    # A Sequential has one input, and no `input` before it is called.
    return found[0] if isinstance(model, keras.Sequential) else model.input


def make_placeholder(
    tensor: keras.KerasTensor, inputs: dict[str, tf.Tensor]
) -> tf.Tensor:
    """Returns a placeholder for one input, and adds it to `inputs`."""
    placeholder = tf.compat.v1.placeholder(
        tensor.dtype, tensor.shape, name=tensor.name
    )
    inputs[tensor.name] = placeholder
    return placeholder


def refuse_python(graph: tf.Graph) -> None:
    """Raises if the graph calls Python, which no other process can."""
    for node in graph.as_graph_def().node:
        if node.op in PYTHON_OPS:
            raise ValueError(
                f"The operation {node.name!r} calls a Python function, which "
                "a file cannot hold. Use `forward=False`: the `.meta` then "
                "holds the variables alone."
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
