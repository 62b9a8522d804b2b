"""Traces a model or a function into a graph with clean names."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import inspect
from typing import Any

import keras
import tensorflow as tf

from keras_port.inspection.clean_graph import CleanGraph
from keras_port.inspection.clean_graph import clean_graph
from keras_port.inspection.clean_graph import own_inputs
from keras_port.inspection.layer_names import LayerScope
from keras_port.inspection.layer_names import graph_names
from keras_port.inspection.layer_names import layer_scopes
from keras_port.inspection.layer_names import split_number
from keras_port.inspection.operation_names import UniqueNames


@dataclasses.dataclass(frozen=True)
class Traced:
    """A traced model or function.

    Args:
        function: The wrapped function, which can be pruned.
        clean: Its graph with clean names.
        outputs: Names of nodes that stand for outputs, with the tensor of the
            traced graph that each passes on.
        scopes: The layers, or `None` for a function.
    """

    function: Any
    clean: CleanGraph
    outputs: Mapping[str, tf.Tensor]
    scopes: LayerScope | None


def trace_function(function: Any, specs: Sequence[tf.TensorSpec]) -> Traced:
    """Traces a Python function, whose operations keep their names."""
    # The body of a tf.function would be one node, a call.
    function = getattr(function, "python_function", function)
    parameters = positional_parameters(function)
    if len(specs) > len(parameters):
        raise ValueError(
            f"The function takes {len(parameters)} arguments, but {len(specs)} "
            "tf.TensorSpec were given. Give one for each argument."
        )
    named = [
        tf.TensorSpec(spec.shape, spec.dtype, name=spec.name or parameter)
        for spec, parameter in zip(specs, parameters, strict=False)
    ]
    wrapped = tf.compat.v1.wrap_function(function, named)
    return Traced(wrapped, clean_graph(wrapped, outputs={}), {}, None)


def trace_model(
    model: keras.Layer, specs: Sequence[Any], training: bool
) -> Traced:
    """Traces the call of a model or layer.

    Args:
        model: The model.
        specs: A `tf.TensorSpec` for each argument of its call, or none for
            those the model was built with.
        training: Whether it runs as in training.
    """
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} has no variables yet, so it has no "
            "graph. Call it on a batch once, `model(x)`, or "
            "`model.build((None, ...))`, or begin it with `keras.Input`."
        )
    scopes = layer_scopes(model)
    arguments = tuple(specs) or model_specs(model, scopes)
    flat = tf.nest.flatten(arguments)

    def call(*tensors: tf.Tensor) -> Any:
        args = tf.nest.pack_sequence_as(arguments, tensors)
        return model(*args, training=training)

    wrapped = tf.compat.v1.wrap_function(call, flat)
    clean = clean_graph(wrapped, model, outputs={})
    outputs = model_outputs(wrapped, clean, scopes)
    for name, tensor in outputs.items():
        add_identity(clean.graph_def, name, tensor, clean.names)
    return Traced(wrapped, clean, outputs, scopes)


def model_specs(model: keras.Layer, scopes: LayerScope) -> tuple[Any, ...]:
    """Returns specs of the arguments that a model was built with."""
    unique = UniqueNames()
    if getattr(model, "inputs", None):

        def spec(tensor: Any) -> tf.TensorSpec:
            # Keras gives an input without a name a number.
            child = scopes.children.get(tensor.name)
            name = child.name if child else tensor.name
            if name.startswith("keras_tensor"):
                name = "input_layer"
            name = unique.give(name)
            return tf.TensorSpec(tensor.shape, tensor.dtype, name=name)

        inputs = model.inputs[0]
        if not isinstance(model, keras.Sequential):
            inputs = model.input
        return (tf.nest.map_structure(spec, inputs),)
    config = model.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"": config.get("input_shape")}
    parameters = positional_parameters(model.call)
    needed = positional_parameters(model.call, needed=True)
    # Of a call with several inputs Keras may know the shape of the first.
    if None in shapes.values() or len(shapes) < len(needed):
        given = ", ".join(
            f'tf.TensorSpec((None, ...), "float32", name="{name}")'
            for name in needed or parameters[:1]
        )
        raise ValueError(
            f"{model.name!r} does not say which inputs it was built with. Give "
            f"them: `inspection.graph(model, {given})`."
        )
    return tuple(
        shape_specs(shape, model.input_dtype, name)
        for shape, name in zip(shapes.values(), parameters, strict=False)
    )


def shape_specs(shape: Any, dtype: str, name: str) -> Any:
    """Returns specs in the structure of the shapes, with an open batch."""
    if isinstance(shape, Mapping):
        return {key: shape_specs(shape[key], dtype, key) for key in shape}
    if any(isinstance(item, list | tuple) for item in shape):
        return [shape_specs(item, dtype, name) for item in shape]
    return tf.TensorSpec((None, *shape[1:]), dtype, name=name)


def positional_parameters(
    function: Callable[..., Any], *, needed: bool = False
) -> list[str]:
    """Returns the arguments by position: all, or those without a default."""
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return [
        item.name
        for item in inspect.signature(function).parameters.values()
        if item.kind in kinds
        and not (needed and item.default is not inspect.Parameter.empty)
    ]


def model_outputs(
    wrapped: Any, clean: CleanGraph, scopes: LayerScope
) -> dict[str, tf.Tensor]:
    """Names the outputs after the layers that give them, `scores`."""
    names = output_layers(wrapped, scopes)
    inputs = {tensor.op.name for tensor in own_inputs(wrapped)}
    unique = UniqueNames(clean.names.values())
    found = {}
    for tensor, layer in zip(wrapped.outputs, names, strict=True):
        scope, below, _ = clean.names[tensor.op.name].partition("/")
        if layer is None and tensor.op.name in inputs:
            layer = "output"
        elif below and (layer is None or is_later_call(scope, layer, scopes)):
            layer = scope
        # An operation between the layers has a name of its own already.
        if layer is not None:
            found[unique.give(layer)] = tensor
    return found


def is_later_call(scope: str, layer: str, scopes: LayerScope) -> bool:
    """Tells the scope of a second call of a layer from that of another."""
    layers = {child.name for child in scopes.children.values()}
    return split_number(scope)[0] == layer and scope not in layers


def output_layers(wrapped: Any, scopes: LayerScope) -> list[str | None]:
    """Returns the layer or key of each output, `None` where it has none."""
    names: Sequence[str] = getattr(scopes.layer, "output_names", ())
    if isinstance(scopes.layer, keras.Sequential):
        names = [scopes.layer.layers[-1].name]
    if len(names) == len(wrapped.outputs):
        layers = [scopes.children.get(name) for name in names]
        return [layer.name if layer else None for layer in layers]
    structure = wrapped.structured_outputs
    if isinstance(structure, Mapping) and len(structure) == len(
        wrapped.outputs
    ):
        return [str(key) for key in sorted(structure)]
    return [None] * len(wrapped.outputs)


def add_identity(
    graph_def: tf.compat.v1.GraphDef,
    name: str,
    tensor: tf.Tensor,
    names: Mapping[str, str],
) -> None:
    """Adds a node that passes a tensor of the traced graph on."""
    index = f":{tensor.value_index}" if tensor.value_index else ""
    node = graph_def.node.add(name=name, op="Identity")
    node.input.append(f"{names[tensor.op.name]}{index}")
    node.attr["T"].type = tensor.dtype.as_datatype_enum
    shape = node.attr["_output_shapes"].list.shape.add()
    shape.CopyFrom(tensor.shape.as_proto())


def graph_name(model: keras.Layer) -> str:
    """Returns the name of a model without a number that Keras gave it."""
    return graph_names([model])[model.name]
