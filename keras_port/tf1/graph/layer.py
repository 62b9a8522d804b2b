"""A TensorFlow 1 graph as a Keras layer."""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import pathlib
from typing import Any

from absl import logging
import keras
import numpy as np
import tensorflow as tf

from keras_port.tf1.graph.bind import group_inputs
from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import Variable
from keras_port.tf1.graph.read import load_program
from keras_port.tf1.graph.read import name_file_in_errors
from keras_port.tf1.graph.read import name_layer_in_errors

# `import keras_port` registers the layer with Keras, so that `load_model` finds
# it. What builds and traces a graph is imported when a layer is made.


@keras.saving.register_keras_serializable(package="keras_port")
class GraphLayer(keras.layers.Layer):  # type: ignore[misc]
    """Turns a TensorFlow 1 graph into a Keras layer, from its files alone.

    The layer predicts what the session predicted. Its variables are Keras
    variables with their TensorFlow 1 names, so it trains in `fit`, can be part
    of a new model, is saved in `.keras` files together with its graph, and can
    be exported. `docs/tf1_graphs.md` shows the way from the files to a model.

    In training, and only then, the graph's update operations run, such as
    those of batch normalization, and the variables keep what the graph assigns
    to them. The graph's regularization losses are among the layer's losses.

    Args:
        path: A `.meta` file, its prefix, a frozen graph, a SavedModel, or the
            folder that holds one of them. The content tells which it is.
        inputs: Names of the tensors that the layer is called with, such as
            `"x_"` or `"x_:0"`, one or several. They need not be placeholders.
            The name of a sparse placeholder stands for its three parts, and
            the layer takes a `tf.SparseTensor`. Defaults to `None`: those of
            the signature.
        outputs: Names of the tensors that it returns, one or several. Defaults
            to `None`: those of the signature.
        signature: Name of the signature in the file that is used for `inputs`
            and `outputs`. Defaults to `None`: `"serving_default"`, or the only
            one.
        constants: Values of other tensors, by name. A `Phase` holds one value
            for training and one for inference, as in
            `{"keep_prob": Phase(training=0.5, inference=1.0)}`. The name of a
            variable, such as `is_training`, replaces the variable. Defaults to
            `None`: no constants.
        shapes: Shapes of inputs, by name, where the graph does not tell them,
            as in `{"x": (None, 784)}`. Defaults to `None`: those in the graph.
        checkpoint: Prefix or folder of the checkpoint with the values.
            Defaults to `None`: the files that belong to the graph.
        trainable: What trains. `True` stands for the variables that TensorFlow
            1 trained, and `False` for none, which is permanent and saved with
            the layer; to freeze them for some time set `layer.trainable`
            later. Patterns such as `"conv*"` or `["conv*", "fc/w"]` choose
            variables by their names; in a frozen graph, whose values are
            constants, they choose the constants that become variables.
            Defaults to `True`.
        name: Name of the layer. Defaults to `None`: Keras chooses one.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: One tensor, a list of tensors in the order of `inputs`, or a
            dictionary by their names. They are cast to the types in the graph.
            If the graph has a fixed batch size, and its rows do not depend on
            each other, inference takes any number of rows.
        training: A bool, or a tensor that holds one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a name is not in the graph, a placeholder has no value,
            an operation cannot or must not run, or a file is broken.

    Example:

    >>> _ = save_checkpoint(model, "old/model.ckpt")
    >>> layer = GraphLayer("old", inputs="images", outputs="output")
    >>> [weight.path for weight in layer.weights]
    ['graph_layer/W', 'graph_layer/b']
    >>> bool(np.all(layer(x) == model(x)))
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        inputs: str | Sequence[str] | None = None,
        outputs: str | Sequence[str] | None = None,
        signature: str | None = None,
        constants: Mapping[str, Any] | None = None,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        trainable: bool | str | Sequence[str] = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        from keras_port.tf1.graph.convert import LayerRequest
        from keras_port.tf1.graph.convert import convert

        request = LayerRequest(
            inputs,
            outputs,
            signature,
            constants or {},
            shapes or {},
            checkpoint,
            trainable,
        )
        program, values = convert(path, request)
        super().__init__(trainable=bool(trainable), name=name, **kwargs)
        with name_file_in_errors(pathlib.Path(path)):
            self._build_network(program, values)

    def _build_network(
        self, program: Program, values: Sequence[np.ndarray] | None
    ) -> None:
        """Makes the variables, with zeros if their values are loaded later."""
        from keras_port.tf1.graph.network import Network

        # Neither Keras nor TensorFlow looks into an object of this class, and
        # a layer with functions among its attributes cannot be exported.
        self._network = Network(program)
        self._has_warned = False
        self._variables_of_graph = [
            self._make_variable(one, None if values is None else values[number])
            for number, one in enumerate(program.variables)
        ]
        # Traces the graph now, so that errors come before the training.
        self._network.build(self._get_values(), is_loaded=values is None)
        # XLA cannot compute the gradients of loops.
        self.supports_jit = False
        self.built = True

    def _make_variable(
        self, variable: Variable, value: np.ndarray | None
    ) -> keras.Variable:
        """Makes one variable, whose path ends with its TensorFlow 1 name."""
        *scopes, name = variable.name.split("/")
        is_float = tf.as_dtype(variable.dtype).is_floating
        if value is None:
            kind = tf.as_dtype(variable.dtype).as_numpy_dtype
            value = np.zeros(variable.shape, kind)
        with contextlib.ExitStack() as stack:
            for scope in (self.name, *scopes):
                stack.enter_context(keras.name_scope(scope))
            return keras.Variable(
                value,
                dtype=variable.dtype,
                trainable=variable.trainable,
                # The graph fixes the types that it computes with.
                autocast=False,
                # Joins what every device of a strategy has assigned.
                aggregation="mean" if is_float else "only_first_replica",
                name=name,
            )

    def build(self, *_: Any) -> None:
        """Does nothing: the graph has all shapes."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Computes the outputs; in training it also runs the updates."""
        if training is True and not self._has_warned:
            self._warn_if_nothing_trains()
        results = self._network(inputs, self._get_values(), training)
        for loss in results.losses:
            self.add_loss(loss)
        for record, variable in zip(
            self._network.program.variables,
            self._variables_of_graph,
            strict=True,
        ):
            if record.identity in results.changed:
                variable.assign(results.changed[record.identity])
        # The operations of TensorArrays may lose the shape.
        outputs = [
            output if one.shape is None else tf.ensure_shape(output, one.shape)
            for output, one in zip(
                results.outputs, self._network.output_specs, strict=True
            )
        ]
        return outputs[0] if len(outputs) == 1 else outputs

    def _warn_if_nothing_trains(self) -> None:
        """Warns once if a training would change nothing."""
        self._has_warned = True
        variables = self._network.program.variables
        if self.trainable and not any(one.trainable for one in variables):
            logging.warning(
                "The GraphLayer %r has no weight that trains: the file does "
                "not say what TensorFlow 1 trained, or its values are "
                "constants. Choose weights with `trainable=['name*']` when you "
                "make the layer, or use `trainable=False`.",
                self.name,
            )

    def to_model(self) -> keras.Model:
        """Returns a model that consists of this layer only.

        Its inputs have the names and shapes that they have in the graph.

        Raises:
            ValueError: If the graph does not tell the shape of an input.
        """
        groups = group_inputs(self._network.inputs)
        inputs = [make_keras_input(one) for one in groups]
        given = inputs[0] if len(inputs) == 1 else inputs
        return keras.Model(given, self(given))

    def compute_output_spec(self, inputs: Any, training: Any = None) -> Any:
        """Returns the shapes and types of the outputs.

        Raises:
            ValueError: If neither the graph nor `inputs` tells a shape.
        """
        del training
        specs = self._network.output_specs
        if any(one.shape is None for one in specs):
            given = keras.tree.flatten(inputs)
            specs = self._network.infer_output_specs([o.shape for o in given])
        for key, one in zip(self._network.program.outputs, specs, strict=True):
            if one.shape is None:
                raise ValueError(
                    "A functional model needs the number of axes of the output "
                    f"{key!r}, and the graph does not tell it. Call the layer "
                    "in the `call` of a `keras.Model` of your own, and reshape "
                    "its output there."
                )
        found = [keras.KerasTensor(*spec) for spec in specs]
        return found[0] if len(found) == 1 else found

    def _get_values(self) -> list[tf.Tensor]:
        """Returns the values of the variables."""
        return [
            tf.convert_to_tensor(variable.value)
            for variable in self._variables_of_graph
        ]

    def get_config(self) -> dict[str, Any]:
        """Returns the graph and the layer's own settings, without values."""
        config: dict[str, Any] = super().get_config()
        return config | {"program": self._network.program.to_config()}

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: Any = None,
        safe_mode: bool | None = None,
    ) -> "GraphLayer":
        """Makes a layer from its configuration, with zeros as values.

        Args:
            config: What `get_config` has returned.
            custom_objects: Not used. Defaults to `None`.
            safe_mode: Whether to reject the graph. Defaults to `None`: as Keras
                is set.

        Raises:
            ValueError: In Keras' safe mode, since a graph is code.
        """
        del custom_objects
        if is_safe_mode_on() if safe_mode is None else safe_mode:
            raise ValueError(
                "This model contains a `GraphLayer`, whose graph is code from "
                "the file. If you trust the source of the file, load it with "
                "`keras.saving.load_model(path, safe_mode=False)`, or call "
                "`keras.config.enable_unsafe_deserialization()` first. "
                "Operations that use files, sockets or Python are refused "
                "even then."
            )
        config = dict(config)
        layer: GraphLayer = cls.__new__(cls)
        with name_layer_in_errors():
            program = load_program(config.pop("program"))
            keras.layers.Layer.__init__(layer, **config)
            layer._build_network(program, None)
        if not config.get("trainable", True):
            # Keras reads `trainable` from the variables, and sets theirs only
            # when that of the layer changes.
            for variable in layer._variables_of_graph:
                variable.trainable = False
        return layer


def make_keras_input(group: Sequence[GraphInput]) -> keras.KerasTensor:
    """Returns the input of a model for one input of the graph."""
    first = group[0]
    shape = first.shape
    name = first.sparse or first.key.removesuffix(":0")
    if first.sparse:
        # One row of indices for every element, one column for every axis.
        axes = None if shape is None else shape[1]
        shape = None if axes is None else (None,) * axes
    if shape is None:
        example = "(None,)" if first.dtype == "string" else "(None, 784)"
        fix = (
            "Call the layer on a `keras.Input(..., sparse=True)`"
            if first.sparse
            else f"Give it, as in `shapes={{{name!r}: {example}}}`"
        )
        raise ValueError(
            f"The graph does not tell the shape of its input {name!r}. {fix}."
        )
    return keras.Input(
        batch_shape=shape,
        dtype=group[1].dtype if first.sparse else first.dtype,
        sparse=bool(first.sparse),
        name=name.replace("/", "_").replace(":", "_"),
    )


def is_safe_mode_on() -> bool:
    """Returns whether Keras rejects files that hold code.

    Keras has no public name for it. So this function tries to load a layer of
    Keras that holds code, a lambda that does nothing.
    """
    layer = keras.layers.Lambda(lambda x: x)
    try:
        # Not `Lambda.from_config`, which most versions of Keras before 3.15
        # take for safe where no mode is set.
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(layer)
        )
    except ValueError:
        return True
    return False
