"""What a graph is made of, as plain records."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np

Shape = tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class GraphOperation:
    """One operation of a graph, as `tf.Operation` was in TensorFlow 1.

    Attributes:
        name: Its name, which begins with the layer's: `conv1/relu`.
        type: What it computes: `Relu`. `VarHandleOp` is a variable.
        inputs: Names of the tensors it takes.
        outputs: Names of the tensors it gives.
        shapes: Their shapes, `None` for an open dimension or unknown shape;
            for a variable, the shape of its value.
        dtypes: Their types; for a variable, the type of its value.
        control_inputs: Names of the operations that must run before it.
        attributes: Its settings, such as `strides`, as text.

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
    """One tensor of a graph, as `get_tensor_by_name` gave in TensorFlow 1.

    Attributes:
        name: Its name: that of the operation, ":" and the output's number.
        shape: Its shape, `None` for an open dimension or unknown shape.
        dtype: Its type.
        operation: The operation that gives it.
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
            feeds: As for `ModelGraph.run`. Defaults to none.
        """
        value: np.ndarray = self.run(self.name, feeds)
        return value


@dataclasses.dataclass(frozen=True)
class GraphVariable:
    """One variable of a graph, with the value it has when asked.

    Attributes:
        name: Its name under the layer: `conv1/kernel`.
        shape: Its shape.
        dtype: Its type.
        trainable: Whether the optimizer changes it.
        variable: The variable itself, of Keras or TensorFlow.

    Example:

    >>> kernel, bias = keras_port.inspection.graph(model).variables
    >>> kernel.name, kernel.shape, kernel.dtype
    ('fc/kernel', (784, 10), 'float32')
    >>> bias.value().sum()
    np.float32(0.0)
    """

    name: str
    shape: Shape
    dtype: str
    trainable: bool
    variable: Any = dataclasses.field(compare=False, repr=False)

    def value(self) -> np.ndarray:
        """Returns the value that the variable has now."""
        return np.asarray(self.variable.numpy())


def shape_text(shape: Shape) -> str:
    """Returns "(None, 10)", or "unknown"."""
    return "unknown" if shape is None else str(shape)
