"""The layers and weights of a model with their names on the dashboard."""

import keras

from keras_port.inspection.layer_names import layer_scopes


def weight_layers(model: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
    """Returns the innermost layers that have weights, with their names."""
    return [
        (name, scope.layer)
        for name, scope in layer_scopes(model).walk()
        if scope.layer.weights and not scope.children
    ]


def trainable_weights(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Returns the trainable variables with their names, `conv1/kernel`."""
    names: dict[int, str] = {}
    # From the outside in: the innermost layer that has a variable names it.
    for path, scope in layer_scopes(model).walk():
        for variable in scope.layer.trainable_variables:
            names[id(variable)] = f"{path}/{variable.name}".lstrip("/")
    return [(names[id(v)], v) for v in model.trainable_variables]
