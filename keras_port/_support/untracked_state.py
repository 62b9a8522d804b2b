"""State of a model that Keras does not count among its variables."""

import itertools
import random
from typing import Any

import keras
import tensorflow as tf

from keras_port._support.layer_names import all_layers

# Objects whose attributes may hold state of a step.
PARTS = (
    keras.losses.Loss,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.regularizers.Regularizer,
)
# Of a longer list, such as a vocabulary, only the beginning is searched.
MAX_PARTS = 1000


def list_untracked_variables(
    model: keras.Model,
) -> list[keras.Variable | tf.Variable]:
    """Returns variables that a step may change and Keras does not list.

    `model.variables` has neither the states of a stateful RNN, nor TensorFlow's
    variables in attributes of layers, such as the state of a
    `tf.random.Generator`, nor any state of losses, regularizers and schedules.

    Args:
        model: A model. Its weights, metrics and optimizers are left out.
    """
    known = {
        id(one)
        for variable in [*model.variables, *model.metrics_variables]
        for one in (variable, variable.value)
    }
    found: dict[int, Any] = {}
    seen: set[int] = set()
    layers = [model, *all_layers(model)]
    parts = [value for layer in layers for value in vars(layer).values()]
    for part in parts:  # The list grows.
        if isinstance(part, keras.Variable | tf.Variable):
            found.setdefault(id(part), part)
        elif id(part) not in seen:
            seen.add(id(part))
            parts += list_parts(part)
            if isinstance(part, keras.optimizers.Optimizer):
                known |= {id(variable) for variable in part.variables}
    return [one for key, one in found.items() if key not in known]


def list_parts(value: Any) -> list[Any]:
    """Returns the parts of an attribute that may be or hold variables."""
    if isinstance(value, tf.random.Generator | keras.random.SeedGenerator):
        return [value.state]
    if isinstance(value, dict):
        return list(itertools.islice(value.values(), MAX_PARTS))
    if isinstance(value, list | tuple):
        return list(value[:MAX_PARTS])
    if isinstance(value, PARTS):
        return list(vars(value).values())
    if isinstance(value, tf.Module) and not isinstance(value, keras.Layer):
        return list(value.variables)
    return []


def get_global_generator_state(model: keras.Model) -> list[tf.Variable]:
    """Returns the state of the generator that `keras.random` has for all.

    Functions such as `keras.random.normal` use it without a `seed`. It has no
    public name, but a function that draws shows it. The function is only
    traced, so nothing is drawn. That takes about 10 ms.

    Args:
        model: A model.

    Returns:
        The variable, or nothing for a model on several devices, where Keras
        cannot use it.
    """
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return []
    draw = tf.function(lambda: keras.random.uniform(()), autograph=False)
    # Without `keras.utils.set_random_seed`, Keras seeds it by Python's random
    # numbers, which the program may use for something else.
    before = random.getstate()
    try:
        return list(draw.get_concrete_function().variables)
    finally:
        random.setstate(before)
