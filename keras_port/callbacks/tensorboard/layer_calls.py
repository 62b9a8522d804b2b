"""A look at what goes into layers and comes out, for any kind of model."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import Any

import keras

Observer = Callable[[keras.layers.Layer, Any, Any], None]


@contextlib.contextmanager
def observed_calls(
    layers: Sequence[keras.layers.Layer], observer: Observer
) -> Iterator[None]:
    """Calls `observer(layer, input, output)` for each call inside the block."""

    def observed(layer: keras.layers.Layer) -> Callable[..., Any]:
        inner = layer.call

        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            result = inner(inputs, *args, **kwargs)
            observer(layer, inputs, result)
            return result

        return call

    # On the object, where it hides the method of the class: this is the one
    # way that reaches the layers of functional and subclassed models alike.
    for layer in layers:
        layer.call = observed(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
