"""The names of a model's layers and variables in its graph."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import re
from typing import Any

import keras

NUMBERED = re.compile(r"(?P<base>.+?)(?:_(?P<number>\d+))?")


@dataclasses.dataclass(frozen=True)
class LayerScope:
    """A layer, and the name of its scope inside the layer around it.

    Args:
        name: Name in the graph, "" for the model itself.
        layer: The layer.
        children: Scopes of the layers inside, by the names Keras gave them.
    """

    name: str
    layer: keras.Layer
    children: Mapping[str, "LayerScope"]

    def walk(self, path: str = "") -> Iterator[tuple[str, "LayerScope"]]:
        """Yields the full name and the scope of this layer and those inside."""
        yield path, self
        for child in self.children.values():
            yield from child.walk(joined(path, child.name))


def joined(*parts: str) -> str:
    """Returns the parts that are not empty, with slashes between."""
    return "/".join(part for part in parts if part)


def split_number(name: str) -> tuple[str, int]:
    """Returns ("dense", 2) of "dense_2", and ("dense", 0) of "dense"."""
    match = NUMBERED.fullmatch(name)
    if match is None or match["number"] is None:
        return name, 0
    return match["base"], int(match["number"])


def layer_scopes(model: keras.Layer) -> LayerScope:
    """Returns the scopes of a model and of all layers inside it.

    A layer whose name Keras chose is counted within the layer or model around
    it, `dense`, `dense_1`, whatever the process built before.

    Args:
        model: A model or layer.
    """
    return _scope(model, "", by_hand(all_layers(model)))


def _scope(layer: keras.Layer, name: str, kept: set[str]) -> LayerScope:
    inner = sublayers(layer)
    names = graph_names(inner, kept)
    children: dict[str, LayerScope] = {}
    for child in inner:
        if child.name not in children:
            children[child.name] = _scope(child, names[child.name], kept)
    return LayerScope(name, layer, children)


def all_layers(model: keras.Layer) -> list[keras.Layer]:
    """Returns the layers at any depth inside a model or layer."""
    found: list[keras.Layer] = []
    queue = sublayers(model)
    while queue:
        layer = queue.pop(0)
        if all(layer is not other for other in found):
            found.append(layer)
            queue += sublayers(layer)
    return found


def sublayers(layer: keras.Layer) -> list[keras.Layer]:
    """Returns the layers directly inside a layer or model."""
    if isinstance(layer, keras.Model):
        return list(layer.layers)
    found: dict[int, keras.Layer] = {}
    # Keras lists the layers of a model, but not those of a layer.
    for value in vars(layer).values():
        for inner in _layers_in(value):
            found.setdefault(id(inner), inner)
    return list(found.values())


def _layers_in(value: Any) -> Iterator[keras.Layer]:
    if isinstance(value, keras.Layer):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _layers_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _layers_in(item)


def automatic_numbers(layers: Iterable[keras.Layer]) -> dict[str, list[int]]:
    """Returns the numbers in names as Keras makes them, by the name before.

    The names `dense` and `dense_4` of two layers of class `Dense` are
    `{"dense": [0, 4]}`.
    """
    found: dict[str, set[int]] = {}
    for layer in layers:
        base, number = split_number(layer.name)
        # `Bidirectional` puts these before the name of the layer inside.
        own = base.removeprefix("forward_").removeprefix("backward_")
        class_name = type(layer).__name__
        if own.replace("_", "") == class_name.replace("_", "").lower():
            found.setdefault(base, set()).add(number)
    return {base: sorted(numbers) for base, numbers in found.items()}


def by_hand(layers: Iterable[keras.Layer]) -> set[str]:
    """Returns the names whose numbers look as if they were given by hand.

    That is `dense_1`, `dense_2` without a `dense`, in a whole model: Keras
    begins without a number.

    Args:
        layers: All layers of a model, at any depth.
    """
    return {
        base
        for base, numbers in automatic_numbers(layers).items()
        if len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1))
    }


def graph_names(
    layers: Iterable[keras.Layer], kept: Iterable[str] = ()
) -> dict[str, str]:
    """Returns the names in the graph of sibling layers, by Keras' names.

    Keras numbers the layers of a class through the whole process, so that a
    model built twice has `dense` and then `dense_1`. Here they are numbered
    anew.

    Args:
        layers: All layers of one model or layer.
        kept: Names whose numbers stay as they are, such as "dense".
    """
    layers = list(layers)
    names = {layer.name: layer.name for layer in layers}
    for base, numbers in automatic_numbers(layers).items():
        for count, number in enumerate(numbers):
            if base not in kept:
                names[numbered(base, number)] = numbered(base, count)
    return names


def numbered(base: str, number: int) -> str:
    """Returns "dense" for number 0 and "dense_2" for 2."""
    return f"{base}_{number}" if number else base


def variable_names(model: LayerScope) -> list[tuple[str, Any]]:
    """Returns the variables of a model with their names in the graph.

    Variables of a layer stand under it: `conv1/kernel`. Those of the metrics
    and the optimizer of a compiled model keep their paths, `accuracy/total`
    and `adam/conv1_kernel_momentum`.

    Args:
        model: The scopes of the model.
    """
    metrics = getattr(model.layer, "metrics_variables", [])
    owners: dict[int, tuple[str, Any]] = {}
    # From the outside in: the innermost layer that has a variable owns it.
    for path, scope in model.walk():
        for variable in scope.layer.variables:
            owners[id(variable)] = (joined(path, variable.name), variable)
    for variable in metrics:
        owners[id(variable)] = (variable.path, variable)
    slots = optimizer_variables(model.layer, list(owners.values()))
    return list(owners.values()) + slots


def optimizer_variables(
    model: keras.Layer, named: list[tuple[str, Any]]
) -> list[tuple[str, Any]]:
    """Returns the optimizer's variables with their names in the graph."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return []
    # The optimizer names a slot after the path of its variable, which holds
    # the numbers that are left out here.
    flat = {
        f"/{variable.path.replace('/', '_')}_": f"/{name.replace('/', '_')}_"
        for name, variable in named
    }
    # Under loss scaling there is an optimizer inside.
    inner = getattr(optimizer, "inner_optimizer", None)
    scopes = graph_names([optimizer] if inner is None else [optimizer, inner])
    found = []
    for variable in optimizer.variables:
        head, slash, rest = variable.path.partition("/")
        path = scopes.get(head, head) + slash + rest
        for before in sorted(flat, key=len, reverse=True):
            if before in path:
                path = path.replace(before, flat[before], 1)
                break
        found.append((path, variable))
    return found
