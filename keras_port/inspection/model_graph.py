"""The computational graph of a model, as an object to ask."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import pathlib
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import local_path
from keras_port._support import unnumbered_name
from keras_port.inspection.evaluation import Evaluation
from keras_port.inspection.graph_page import graph_page
from keras_port.inspection.graph_text import graph_text
from keras_port.inspection.records import GraphTensor
from keras_port.inspection.records import list_operations
from keras_port.inspection.records import list_variables
from keras_port.inspection.tensor_names import TensorNames
from keras_port.inspection.tracing import TracedCall
from keras_port.inspection.tracing import trace_function
from keras_port.inspection.tracing import trace_model


def graph(
    model: keras.Layer | Callable[..., Any],
    *specs: Any,
    training: bool = False,
) -> "ModelGraph":
    """Returns the computational graph of a model or a function.

    Args:
        model: A built model or layer, of this package or of Keras:
            functional, sequential or subclassed; or a plain Python function of
            TensorFlow operations.
        *specs: A `tf.TensorSpec` for each argument of a function, or of a
            model that does not say which inputs it was built with. Defaults to
            the inputs of the model.
        training: Whether to call the model in training mode. Defaults to
            `False`.

    Returns:
        A `ModelGraph`.

    Raises:
        ValueError: If the model is not built yet, or its inputs are unknown.

    Example:

    >>> graph = keras_port.inspection.graph(model)
    >>> scores = graph.run("scores:0", {"images:0": x})
    >>> scores.shape
    (100, 10)
    """
    if isinstance(model, keras.Layer):
        traced = trace_model(model, specs, training)
        return ModelGraph(traced, unnumbered_name(model))
    if not callable(model):
        raise ValueError(
            "`model` must be a Keras model or layer, or a function. "
            f"Received: model={model!r}."
        )
    if training:
        raise ValueError(
            "`training` applies only to models and layers, not to a function. "
            "Received: training=True."
        )
    name = getattr(model, "__name__", "function")
    return ModelGraph(trace_function(model, specs), name)


class ModelGraph:
    """Holds the computational graph of a model; `inspection.graph` makes it.

    Names start with those of the layers, and operations are in lower case:
    `conv1/relu` is an operation, `conv1/relu:0` its tensor and `conv1/kernel` a
    variable. The names are the same in every process, and for every model that
    is built alike.

    Args:
        traced: The traced call of the model.
        name: Title of the graph.

    Attributes:
        name: Name of the model.
        operations: All operations, as `GraphOperation` records.
        variables: All variables of the model, as `GraphVariable` records.

    Example:

    >>> graph = keras_port.inspection.graph(model)
    >>> [operation.name for operation in graph.operations][-2:]
    ['scores/softmax', 'scores']
    >>> [variable.name for variable in graph.variables]
    ['fc/kernel', 'fc/bias']
    """

    def __init__(self, traced: TracedCall, name: str) -> None:
        self.name = name
        self.operations = list_operations(traced)
        self.variables = list_variables(traced)
        self._graph_def = traced.clean.graph_def
        self._names = TensorNames(
            self.operations,
            traced.scopes,
            [variable.name for variable in self.variables],
        )
        self._evaluation = Evaluation(traced)

    def tensor(self, name: str) -> GraphTensor:
        """Returns a tensor by its name.

        Args:
            name: Name such as `"conv1/relu:0"`, in upper or lower case.
                `"conv1:0"` is the result of the layer `conv1`.

        Returns:
            A `GraphTensor`.

        Raises:
            ValueError: If there is no such tensor. The message lists the
                closest names.
        """
        found = self._names.find(name)
        operation = self._names.by_tensor.get(found)
        if operation is None:
            raise ValueError(
                f"The variable {found!r} is not used in this graph. Its value "
                f"is in `graph.variables` and `graph.run({found!r})`."
            )
        index = operation.outputs.index(found)
        return GraphTensor(
            name=found,
            shape=operation.shapes[index],
            dtype=operation.dtypes[index],
            operation=operation,
            run=self.run,
        )

    def run(self, fetches: Any, feeds: Mapping[Any, Any] | None = None) -> Any:
        """Evaluates tensors, as `Session.run` did.

        Variables have their current values. Nothing in the model changes, even
        with `training=True`.

        Args:
            fetches: Name of a tensor, or a list, tuple or dict of names.
            feeds: Values of tensors, keyed by name: of inputs, of variables or
                of any tensor in between, which then needs no inputs. Defaults
                to `None`: no feeds.

        Returns:
            The values as arrays, in the structure of `fetches`.

        Raises:
            ValueError: If a name is unknown, a value has the wrong shape or
                type, or an input that is needed has no value.
        """
        names = [self._names.find(name) for name in tf.nest.flatten(fetches)]
        values = {
            self._names.find(name): value
            for name, value in (feeds or {}).items()
        }
        results = self._evaluation.run(names, values)
        return tf.nest.pack_sequence_as(
            fetches, [results[name] for name in names]
        )

    def as_graph_def(self) -> tf.compat.v1.GraphDef:
        """Returns the graph as a `GraphDef` of TensorFlow 1."""
        copy = tf.compat.v1.GraphDef()
        copy.CopyFrom(self._graph_def)
        return copy

    def to_text(self) -> str:
        """Returns the graph as text, with one line for each operation."""
        return graph_text(self.name, self.operations, self.variables)

    def to_html(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the graph as one page that needs only a browser.

        Args:
            path: File to write, such as `"graph.html"`. An existing file is
                replaced. `~` is your home directory.

        Returns:
            The path.

        Raises:
            ValueError: If `path` is empty or a bucket such as `gs://`.
        """
        file = local_path("path", path)
        file.write_text(graph_page(self.name, self.operations), "utf-8")
        return file

    def __repr__(self) -> str:
        return (
            f"<ModelGraph {self.name!r}: {len(self.operations)} operations, "
            f"{len(self.variables)} variables>"
        )
