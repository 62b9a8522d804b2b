"""A TensorFlow 1 graph as a Keras layer."""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import pathlib
from typing import TYPE_CHECKING
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.tf1.graph import safe_mode as safety
from keras_port.tf1.graph.inputs import arranged
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import Variable
from keras_port.tf1.graph.read import from_config
from keras_port.tf1.graph.read import told_of

if TYPE_CHECKING:
    from keras_port.tf1.graph.network import Results


@keras.saving.register_keras_serializable(package="keras_port")
class GraphLayer(keras.layers.Layer):  # type: ignore[misc]
    """Turns a TensorFlow 1 graph of which only the files are left into a layer.

    It predicts what the session predicted. Its variables are Keras variables
    under their TensorFlow 1 names, so it trains in `fit`, may be a part of a
    new model, is saved in `.keras` with its graph inside, and is exported.
    The page `docs/tf1_graphs.md` shows the way from the files to a model.

    In training, and only then, the graph's update operations run, as those of
    batch normalisation, and what the graph assigns to variables is kept. The
    graph's regularisation losses are among the layer's losses.

    Args:
        path: The `.meta` file, its prefix, or its folder.
        inputs: Names of the tensors that the layer is called with, such as
            `"x_"` or `"x_:0"`, one or several. They need not be placeholders.
        outputs: Names of the tensors that it returns, one or several.
        constants: Values of other tensors by name: a value, or a `tf1.Phase`
            of one in training and one in inference, as in
            `{"keep_prob": Phase(training=0.5, inference=1.0)}`. Defaults to
            `None`: none.
        checkpoint: Prefix or folder of the values. Defaults to `None`: the
            files beside the `.meta`.
        trainable: Whether the variables that TensorFlow 1 trained are trained.
            `False` is for good, and also in a file; to freeze them for a while
            set the layer's `trainable` later. Defaults to `True`.
        name: Name of the layer. Defaults to `None`: one that Keras makes.
        **kwargs: As for every layer.

    Call arguments:
        inputs: One tensor, or a list of them in the order of `inputs`, or a
            dictionary by the names. Numbers are cast to the type in the graph.
        training: A bool, or a tensor of one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a name is not in the graph, a placeholder is missing,
            an operation cannot be run or must not be, or a file is broken.

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
        inputs: str | Sequence[str],
        outputs: str | Sequence[str],
        constants: Mapping[str, Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Imported where a layer is built: the class is registered when the
        # package is imported, and few programs build one.
        from keras_port.tf1.graph.convert import convert

        program, values = convert(
            path,
            inputs,
            outputs,
            constants or {},
            checkpoint,
            trainable=trainable,
        )
        super().__init__(trainable=trainable, name=name, **kwargs)
        with told_of(pathlib.Path(path)):
            self._start(program, values)

    def _start(
        self, program: Program, values: Sequence[np.ndarray] | None
    ) -> None:
        """Makes the variables; without values they are to be loaded."""
        # Inside an object that neither Keras nor TensorFlow looks into:
        # functions among a layer's attributes cannot be exported.
        from keras_port.tf1.graph.network import Network

        self._network = Network(program)
        self._variables_of_graph = [
            self._make(one, None if values is None else values[number])
            for number, one in enumerate(program.variables)
        ]
        # Traced here, so that what cannot be is told before the training.
        self._output_specs = self._network.output_specs(self._values())
        # Compiled, loops have no gradient.
        self.supports_jit = False
        self.built = True

    def _make(self, variable: Variable, value: Any) -> keras.Variable:
        """Makes one variable, its path as its name in TensorFlow 1."""
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
                # The graph knows what types it computes with.
                autocast=False,
                # Of what each device has assigned under a strategy.
                aggregation="mean" if is_float else "only_first_replica",
                name=name,
            )

    def build(self, *_: Any) -> None:
        """Does nothing: the graph has told all shapes."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Computes the outputs; in training it also runs the updates."""
        tensors = arranged(inputs, self._network.program.inputs)
        outputs, losses, changed = self._run(tensors, self._values(), training)
        for loss in losses:
            self.add_loss(loss)
        for record, variable in zip(
            self._network.program.variables,
            self._variables_of_graph,
            strict=True,
        ):
            if record.identity in changed:
                variable.assign(changed[record.identity])
        # Of early TensorArrays, a graph does not know the shape.
        outputs = [
            tf.ensure_shape(output, shape)
            for output, (shape, _) in zip(
                outputs, self._output_specs, strict=True
            )
        ]
        return outputs[0] if len(outputs) == 1 else outputs

    def _run(
        self,
        tensors: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        training: Any,
    ) -> "Results":
        """Runs the one function or the other, or what a tensor says."""
        known = (
            tf.get_static_value(training)
            if tf.is_tensor(training)
            else (bool(training))
        )
        if known is not None:
            return self._network(tensors, values, training=bool(known))
        by_name = {
            record.identity: value
            for record, value in zip(
                self._network.program.variables, values, strict=True
            )
        }

        def step() -> "Results":
            outputs, losses, changed = self._network(
                tensors, values, training=True
            )
            return outputs, losses, by_name | changed

        def prediction() -> "Results":
            outputs, losses, _ = self._network(tensors, values, training=False)
            return outputs, losses, by_name

        outputs, losses, values_by_name = tf.cond(
            tf.cast(training, tf.bool), step, prediction
        )
        mutable = self._network.mutable
        return outputs, losses, {n: values_by_name[n] for n in mutable}

    def to_model(self) -> keras.Model:
        """Returns a model of nothing but this layer.

        Its inputs have the names and shapes of the graph's.
        """
        inputs = []
        for fed in self._network.program.inputs:
            if fed.shape is None:
                raise ValueError(
                    f"The input {fed.key!r} of the graph has no known shape, "
                    "so that only you can tell it: call the layer on a "
                    "`keras.Input` of your own."
                )
            name = fed.key.removesuffix(":0").replace("/", "_")
            inputs.append(
                keras.Input(
                    batch_shape=fed.shape,
                    dtype=fed.dtype,
                    name=name.replace(":", "_"),
                )
            )
        one = inputs[0] if len(inputs) == 1 else inputs
        return keras.Model(one, self(one))

    def compute_output_spec(self, inputs: Any, training: Any = None) -> Any:
        """Returns the outputs' shapes and types, as the graph has them."""
        del inputs, training
        specs = [keras.KerasTensor(*spec) for spec in self._output_specs]
        return specs[0] if len(specs) == 1 else specs

    def _values(self) -> list[tf.Tensor]:
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
        """Makes the layer again, its values still to be loaded.

        Args:
            config: What `get_config` has returned.
            custom_objects: Not used. Defaults to `None`.
            safe_mode: Whether to refuse. Defaults to `None`: as Keras is set.

        Raises:
            ValueError: In Keras' safe mode, since a graph is code.
        """
        del custom_objects
        safety.check(safe_mode)
        config = dict(config)
        program = from_config(config.pop("program"))
        layer: GraphLayer = cls.__new__(cls)
        keras.layers.Layer.__init__(layer, **config)
        layer._start(program, None)
        if not config["trainable"]:
            # Keras asks the variables, and tells them only when it changes.
            for variable in layer._variables_of_graph:
                variable.trainable = False
        return layer
