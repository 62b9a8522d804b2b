"""The layers and weights of a model with their names on the dashboard."""

import keras

from keras_port.inspection.layer_names import layer_scopes
from keras_port.inspection.layer_names import variable_names


def weight_layers(model: keras.Model) -> list[tuple[str, keras.layers.Layer]]:
    """Returns the innermost layers that have weights, with their names."""
    return [
        (name, scope.layer)
        for name, scope in layer_scopes(model).walk()
        if scope.layer.weights and not scope.children
    ]


def trainable_weights(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Returns the trainable variables with their names, `conv1/kernel`."""
    names = {id(v): name for name, v in variable_names(layer_scopes(model))}
    return [(names[id(v)], v) for v in model.trainable_variables]
