"""Traces the call of a model or a function into a graph with clean names."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import inspect
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import LayerScope
from keras_port._support import layer_scopes
from keras_port._support import split_number
from keras_port._support import symbolic_inputs
from keras_port.inspection.clean_graph import CleanGraph
from keras_port.inspection.clean_graph import clean_graph
from keras_port.inspection.clean_graph import own_inputs
from keras_port.inspection.operation_names import UniqueNames


@dataclasses.dataclass(frozen=True)
class TracedCall:
    """The traced call of a model or function.

    Args:
        function: The wrapped function, which can be pruned.
        clean: Its graph with clean names.
        outputs: Names of the nodes added for outputs, with the tensor of the
            traced graph that each passes on.
        scopes: Scopes of the layers, or `None` for a function.
    """

    function: Any
    clean: CleanGraph
    outputs: Mapping[str, tf.Tensor]
    scopes: LayerScope | None


def trace_function(function: Any, specs: Sequence[tf.TensorSpec]) -> TracedCall:
    """Traces a Python function, whose operations keep their names."""
    # The body of a tf.function would be a single node, the call.
    function = getattr(function, "python_function", function)
    parameters = positional_parameters(function)
    if len(specs) > len(parameters):
        raise ValueError(
            "Give one tf.TensorSpec for each argument of the function, which "
            f"takes {len(parameters)} arguments. Received: {len(specs)}."
        )
    named = [
        tf.TensorSpec(spec.shape, spec.dtype, name=spec.name or parameter)
        for spec, parameter in zip(specs, parameters, strict=False)
    ]
    wrapped = tf.compat.v1.wrap_function(function, named)
    return TracedCall(wrapped, clean_graph(wrapped, outputs={}), {}, None)


def trace_model(
    model: keras.Layer, specs: Sequence[Any], training: bool
) -> TracedCall:
    """Traces the call of a model or layer.

    Args:
        model: The model.
        specs: A `tf.TensorSpec` for each argument of the call, or none for the
            arguments that the model was built with.
        training: Whether to call the model in training mode.
    """
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} has no variables yet, so it has no "
            "graph. Call it on a batch, `model(x)`, or call "
            "`model.build((None, ...))`, or start it with `keras.Input`."
        )
    scopes = layer_scopes(model)
    arguments = tuple(specs) or input_specs(model, scopes)
    flat = tf.nest.flatten(arguments)

    def call(*tensors: tf.Tensor) -> Any:
        args = tf.nest.pack_sequence_as(arguments, tensors)
        return model(*args, training=training)

    wrapped = tf.compat.v1.wrap_function(call, flat)
    clean = clean_graph(wrapped, model, outputs={})
    outputs = name_outputs(wrapped, clean, scopes)
    for name, tensor in outputs.items():
        add_identity(clean.graph_def, name, tensor, clean.names)
    return TracedCall(wrapped, clean, outputs, scopes)


def input_specs(model: keras.Layer, scopes: LayerScope) -> tuple[Any, ...]:
    """Returns specs of the arguments that a model was built with."""
    inputs = symbolic_inputs(model)
    if inputs is not None:
        unique = UniqueNames()

        def spec(tensor: Any) -> tf.TensorSpec:
            child = scopes.children.get(tensor.name)
            name = child.name if child else tensor.name
            # Keras' name for an input without one, followed by a number.
            if name.startswith("keras_tensor"):
                name = "input_layer"
            name = unique.give(name)
            return tf.TensorSpec(tensor.shape, tensor.dtype, name=name)

        return (tf.nest.map_structure(spec, inputs),)
    config = model.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"": config.get("input_shape")}
    parameters = positional_parameters(model.call)
    required = positional_parameters(model.call, required=True)
    # If a call takes several inputs, Keras may know only the first shape.
    if None in shapes.values() or len(shapes) < len(required):
        given = ", ".join(
            f'tf.TensorSpec((None, ...), "float32", name="{name}")'
            for name in required or parameters[:1]
        )
        raise ValueError(
            f"The model {model.name!r} does not say which inputs it was built "
            f"with. Give them: `inspection.graph(model, {given})`."
        )
    return tuple(
        shape_specs(shape, model.input_dtype, name)
        for shape, name in zip(shapes.values(), parameters, strict=False)
    )


def shape_specs(shape: Any, dtype: str, name: str) -> Any:
    """Returns specs in the structure of the shapes, for batches of any size."""
    if isinstance(shape, Mapping):
        return {key: shape_specs(shape[key], dtype, key) for key in shape}
    if any(isinstance(item, list | tuple) for item in shape):
        return [shape_specs(item, dtype, name) for item in shape]
    return tf.TensorSpec((None, *shape[1:]), dtype, name=name)


def positional_parameters(
    function: Callable[..., Any], *, required: bool = False
) -> list[str]:
    """Returns the positional arguments: all, or those without a default."""
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return [
        item.name
        for item in inspect.signature(function).parameters.values()
        if item.kind in kinds
        and not (required and item.default is not inspect.Parameter.empty)
    ]


def name_outputs(
    wrapped: Any, clean: CleanGraph, scopes: LayerScope
) -> dict[str, tf.Tensor]:
    """Names the outputs after the layers that compute them, `scores`."""
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
        # An operation outside of all layers has a name of its own already.
        if layer is not None:
            found[unique.give(layer)] = tensor
    return found


def is_later_call(scope: str, layer: str, scopes: LayerScope) -> bool:
    """Returns whether a scope is a second call of a layer."""
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
    """Adds a node that passes on a tensor of the traced graph."""
    index = f":{tensor.value_index}" if tensor.value_index else ""
    node = graph_def.node.add(name=name, op="Identity")
    node.input.append(f"{names[tensor.op.name]}{index}")
    node.attr["T"].type = tensor.dtype.as_datatype_enum
    shape = node.attr["_output_shapes"].list.shape.add()
    shape.CopyFrom(tensor.shape.as_proto())
