"""A model's weights under names that do not depend on the process."""

from collections.abc import Iterator
import dataclasses
import re
from typing import Any

import keras

# The last parts of names that mean the same, Keras' own first.
LEAVES = {
    alias: leaf
    for leaf, aliases in {
        "kernel": ("kernel", "weight", "weights", "w", "W"),
        "bias": ("bias", "biases", "b", "B"),
        "gamma": ("gamma",),
        "beta": ("beta",),
        "moving_mean": ("moving_mean",),
        "moving_variance": ("moving_variance",),
        "embeddings": ("embeddings",),
    }.items()
    for alias in aliases
}


@dataclasses.dataclass(frozen=True)
class ModelWeight:
    """One weight of a model.

    Args:
        path: Keras' path, such as `"dense_1/kernel"`.
        canonical: The path in a process that made nothing else before, such
            as `"dense/kernel"`.
        variable: The variable itself.
    """

    path: str
    canonical: str
    variable: keras.Variable

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the shape as plain integers."""
        return tuple(int(size) for size in self.variable.shape)


def model_weights(model: keras.Model) -> list[ModelWeight]:
    """Returns the weights in the order in which the layers made them.

    States of random generators and metrics are not among them.

    Raises:
        ValueError: If the model has no weights, or two of the same path.
    """
    if not model.weights:
        raise ValueError(
            f"The model {model.name!r} has no weights yet. Build it first, by "
            "`model.build(input_shape)` or by calling it on one batch."
        )
    names = canonical_names(model)
    weights = [
        ModelWeight(
            variable.path, canonical_path(variable.path, model, names), variable
        )
        for variable in model.weights
    ]
    paths = [weight.path for weight in weights]
    if double := sorted({path for path in paths if paths.count(path) > 1}):
        raise ValueError(
            f"Several weights of the model {model.name!r} have the path "
            f"{double[0]!r}. Give their layers different names."
        )
    return weights


def canonical_names(model: keras.Model) -> dict[str, str]:
    """Returns the automatic names of layers, counted again from the first.

    Keras counts through the process: the first dense layer of the second model
    is `dense_1` (tensorflow#41621). A name that was given stays.
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in layers_of(model):
        base = snake_case(type(layer).__name__)
        if not re.fullmatch(rf"{base}(_\d+)?", layer.name):
            continue
        if layer.name not in names:
            number = counts.get(base, 0)
            counts[base] = number + 1
            names[layer.name] = f"{base}_{number}" if number else base
    return names


def canonical_path(path: str, model: keras.Model, names: dict[str, str]) -> str:
    """Returns the path with the layers' canonical names, without the model's.

    Keras puts the name of a Sequential model in front, and not that of a
    functional one.
    """
    *scopes, leaf = path.split("/")
    if scopes[:1] == [model.name] and len(scopes) > 1:
        scopes = scopes[1:]
    return "/".join([names.get(scope, scope) for scope in scopes] + [leaf])


def layers_of(model: Any) -> Iterator[Any]:
    """Yields the layers of a model, those of models inside it, too."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)


def snake_case(name: str) -> str:
    """Returns the automatic name of a class's first layer, as Keras makes it.

    `Conv2D` becomes `conv2d` and `BatchNormalization` `batch_normalization`.
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def normal_name(name: str) -> tuple[str, ...]:
    """Returns a name's parts, the last one as Keras calls it."""
    *scopes, leaf = name.split("/")
    return (*scopes, LEAVES.get(leaf, leaf))
