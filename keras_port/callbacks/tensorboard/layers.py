"""The layers of a model: their names, weights, inputs and outputs."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import Any

import keras

from keras_port._support import layer_scopes

Observer = Callable[[keras.layers.Layer, Any, Any], None]


def list_weight_layers(
    model: keras.Model,
) -> list[tuple[str, keras.layers.Layer]]:
    """Returns the innermost layers that have weights, with their names."""
    return [
        (name, scope.layer)
        for name, scope in layer_scopes(model).walk()
        if scope.layer.weights and not scope.children
    ]


def list_trainable_weights(
    model: keras.Model,
) -> list[tuple[str, keras.Variable]]:
    """Returns the trainable variables with names such as `conv1/kernel`."""
    names: dict[int, str] = {}
    # Outer layers come first, so the innermost layer names a variable.
    for path, scope in layer_scopes(model).walk():
        for variable in scope.layer.trainable_variables:
            names[id(variable)] = f"{path}/{variable.name}".lstrip("/")
    return [(names[id(v)], v) for v in model.trainable_variables]


@contextlib.contextmanager
def observe_calls(
    layers: Sequence[keras.layers.Layer], observer: Observer
) -> Iterator[None]:
    """Calls `observer(layer, input, output)` after every call in the block."""

    def wrap(layer: keras.layers.Layer) -> Callable[..., Any]:
        inner = layer.call

        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            result = inner(inputs, *args, **kwargs)
            observer(layer, inputs, result)
            return result

        return call

    # An attribute of the object hides the method of its class. No other way
    # reaches the layers of functional and subclassed models alike.
    for layer in layers:
        layer.call = wrap(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
