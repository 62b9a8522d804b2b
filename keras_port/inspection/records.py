"""Operations, tensors and variables of a graph, as plain records."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port._support import Shape
from keras_port._support import shape_tuple
from keras_port.inspection.tracing import TracedCall

# The longest text of an attribute that is shown.
MAX_ATTRIBUTE_LENGTH = 200


@dataclasses.dataclass(frozen=True)
class GraphOperation:
    """One operation of a graph, like `tf.Operation` in TensorFlow 1.

    Attributes:
        name: Name of the operation, which starts with that of its layer:
            `conv1/relu`.
        type: Type of the operation: `Relu`. A variable is a `VarHandleOp`.
        inputs: Names of its input tensors.
        outputs: Names of its output tensors.
        shapes: Shapes of the outputs, `None` for an unknown size or shape; for
            a variable, the shape of its value.
        dtypes: Types of the outputs; for a variable, the type of its value.
        control_inputs: Names of the operations that must run before it.
        attributes: Its attributes, such as `strides`, as text.

    Example:

    >>> operation = keras_port.inspection.graph(model).operations[-1]
    >>> operation.name, operation.type, operation.inputs, operation.shapes
    ('scores', 'Identity', ('scores/softmax:0',), ((None, 10),))
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[Shape, ...]
    dtypes: tuple[str, ...]
    control_inputs: tuple[str, ...] = ()
    attributes: Mapping[str, str] = dataclasses.field(
        default_factory=dict, hash=False, repr=False
    )


@dataclasses.dataclass(frozen=True)
class GraphTensor:
    """One tensor of a graph, like `get_tensor_by_name` in TensorFlow 1.

    Attributes:
        name: Name of the operation, ":" and the number of the output.
        shape: Shape, with `None` for an unknown size; `None` if unknown.
        dtype: Type of the values.
        operation: The operation that computes it.
        run: The method `run` of the graph.

    Example:

    >>> tensor = keras_port.inspection.graph(model).tensor("fc/biasadd:0")
    >>> tensor.shape
    (None, 10)
    >>> tensor.eval({"images:0": x}).shape
    (100, 10)
    """

    name: str
    shape: Shape
    dtype: str
    operation: GraphOperation
    run: Callable[..., Any] = dataclasses.field(compare=False, repr=False)

    def eval(self, feeds: Mapping[Any, Any] | None = None) -> np.ndarray:
        """Returns the value of the tensor.

        Args:
            feeds: As for `ModelGraph.run`. Defaults to `None`: no feeds.
        """
        value: np.ndarray = self.run(self.name, feeds)
        return value


@dataclasses.dataclass(frozen=True)
class GraphVariable:
    """One variable of a graph, with access to its current value.

    Attributes:
        name: Name of the variable under its layer: `conv1/kernel`.
        shape: Shape of the value.
        dtype: Type of the value.
        trainable: Whether the optimizer updates it.
        variable: The variable itself, of Keras or TensorFlow.

    Example:

    >>> kernel, bias = keras_port.inspection.graph(model).variables
    >>> kernel.name, kernel.shape, kernel.dtype
    ('fc/kernel', (784, 10), 'float32')
    >>> float(bias.value().sum())
    0.0
    """

    name: str
    shape: Shape
    dtype: str
    trainable: bool
    variable: Any = dataclasses.field(compare=False, repr=False)

    def value(self) -> np.ndarray:
        """Returns the current value of the variable."""
        return np.asarray(self.variable.numpy())


def list_operations(traced: TracedCall) -> list[GraphOperation]:
    """Returns the operations of a graph, inputs before their users."""
    original = {clean: old for old, clean in traced.clean.names.items()}
    graph = traced.function.graph
    found = []
    for node in traced.clean.graph_def.node:
        if node.name in traced.outputs:
            tensors = [traced.outputs[node.name]]
        else:
            tensors = graph.get_operation_by_name(original[node.name]).outputs
        values = tensors
        if node.op == "VarHandleOp":
            values = [traced.clean.variables[node.name]]
        found.append(
            GraphOperation(
                name=node.name,
                type=node.op,
                inputs=tuple(
                    tensor_name(name)
                    for name in node.input
                    if not name.startswith("^")
                ),
                outputs=tuple(
                    f"{node.name}:{index}" for index in range(len(tensors))
                ),
                shapes=tuple(shape_tuple(value.shape) for value in values),
                dtypes=tuple(tf.as_dtype(v.dtype).name for v in values),
                control_inputs=tuple(
                    name[1:] for name in node.input if name.startswith("^")
                ),
                attributes=attribute_texts(node),
            )
        )
    return found


def list_variables(traced: TracedCall) -> list[GraphVariable]:
    """Returns the variables of a model, without optimizer and metrics."""
    own = None
    if traced.scopes is not None:
        own = {id(variable) for variable in traced.scopes.layer.variables}
    return [
        GraphVariable(
            name=name,
            shape=shape_tuple(variable.shape),
            dtype=tf.as_dtype(variable.dtype).name,
            trainable=bool(variable.trainable),
            variable=variable,
        )
        for name, variable in traced.clean.variables.items()
        if own is None or id(variable) in own
    ]


def tensor_name(name: str) -> str:
    """Returns "a:0" for "a", which is how a `GraphDef` writes it."""
    return name if ":" in name else f"{name}:0"


def attribute_texts(node: Any) -> dict[str, str]:
    """Returns the attributes of a node that mean something to a reader."""
    found = {}
    for key in sorted(node.attr):
        text = attribute_text(node.attr[key])
        if not key.startswith("_") and text:
            if len(text) > MAX_ATTRIBUTE_LENGTH:
                text = text[:MAX_ATTRIBUTE_LENGTH] + "..."
            found[key] = text
    return found


def attribute_text(value: Any) -> str:
    """Returns one attribute of a node as text, "" if it is empty."""
    kind = value.WhichOneof("value")
    if kind == "tensor":
        return " ".join(str(tf.make_ndarray(value.tensor)).split())
    if kind == "type":
        return str(tf.as_dtype(value.type).name)
    if kind == "s":
        return str(value.s.decode("utf-8", "replace"))
    if kind == "func":
        return str(value.func.name)
    if kind == "shape":
        return str(shape_tuple(value.shape))
    if kind == "list":
        items = value.list
        return ", ".join(
            str(item) for field in (items.i, items.f, items.b) for item in field
        )
    return str(getattr(value, kind)) if kind in ("i", "f", "b") else ""


def shape_text(shape: Shape) -> str:
    """Returns "(None, 10)", or "unknown"."""
    return "unknown" if shape is None else str(shape)
