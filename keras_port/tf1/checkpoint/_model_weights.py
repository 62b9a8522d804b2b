"""Lists a model's weights under names that do not depend on the process."""

import dataclasses

import keras

from keras_port._support import all_layers
from keras_port._support import canonical_weight_paths
from keras_port.tf1.graph import GraphLayer

# Last parts of names that mean the same, by alias. Keras' own word is first.
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
        canonical: The path in a process that built nothing else before, such
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


def list_weights(model: keras.Model) -> list[ModelWeight]:
    """Returns the weights in the order in which the layers created them.

    Leaves out the states of random generators and metrics.

    Raises:
        ValueError: If the model has no weights, or two with the same path.
    """
    if not model.weights:
        raise ValueError(
            f"The model {model.name!r} has no weights yet. Build it first with "
            "`model.build(input_shape)` or by calling it on one batch."
        )
    canonical_paths = canonical_weight_paths(model)
    weights = [
        ModelWeight(variable.path, canonical, variable)
        for variable, canonical in zip(
            model.weights, canonical_paths, strict=True
        )
    ]
    paths = [weight.path for weight in weights]
    if double := sorted({path for path in paths if paths.count(path) > 1}):
        raise ValueError(
            f"Several weights of the model {model.name!r} have the path "
            f"{double[0]!r}. Give their layers different names."
        )
    return weights


def find_graph_names(model: keras.Model) -> dict[str, str]:
    """Returns the names in the graph of the weights of a `GraphLayer`.

    With several such layers, two weights could have the same name.
    """
    layers = [one for one in all_layers(model) if isinstance(one, GraphLayer)]
    if len(layers) != 1:
        return {}
    scope = f"{layers[0].name}/"
    # Scopes of the layers around it may be in front.
    return {
        weight.path: weight.path.partition(scope)[2]
        for weight in layers[0].weights
    }


def normalize_name(name: str) -> tuple[str, ...]:
    """Returns the parts of a name, with Keras' word for the last one."""
    *scopes, leaf = name.split("/")
    return (*scopes, LEAVES.get(leaf, leaf))
