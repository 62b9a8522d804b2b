"""A Keras model's computation in a TensorFlow 1 graph."""

from collections.abc import Mapping
import dataclasses
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
