"""Names of layers and variables that do not depend on the process.

Keras numbers the layers of a class through the whole process: the first dense
layer of the second model is called `dense_1` (tensorflow#41621). This module is
the one place that undoes it, in the three ways that the package needs:

- `layer_scopes` numbers the layers within the layer or model around them, for
  graphs and dashboards.
- `canonical_weight_paths` numbers them within the whole model, for TensorFlow 1
  checkpoints.
- `strip_numbers` leaves all numbers out, to compare the variables of two
  processes one by one.
"""

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
    """A layer, and its name within the layer or model around it.

    Args:
        name: Name of the scope, "" for the model itself.
        layer: The layer.
        children: Scopes of the layers inside, keyed by their names in Keras.
    """

    name: str
    layer: keras.Layer
    children: Mapping[str, "LayerScope"]

    def walk(self, path: str = "") -> Iterator[tuple[str, "LayerScope"]]:
        """Yields the full name and the scope of this layer and those inside."""
        yield path, self
        for child in self.children.values():
            yield from child.walk(join_path(path, child.name))

    def variables(self) -> list[tuple[str, Any]]:
        """Returns the variables of the layers, with names like `conv1/kernel`.

        A variable is named after the innermost layer that has it.
        """
        named: dict[int, tuple[str, Any]] = {}
        # From the outermost layer in, so that the innermost one comes last.
        for path, scope in self.walk():
            for variable in scope.layer.variables:
                name = join_path(path, variable.name)
                named[id(variable)] = (name, variable)
        return list(named.values())


def layer_scopes(model: keras.Layer) -> LayerScope:
    """Returns the scopes of a model and of all layers inside it.

    Layers that Keras named are numbered within the layer or model around them,
    `dense`, `dense_1`. Names given by the user stay, and so do the numbers of
    `dense_1`, `dense_2` if the model has no `dense`: Keras starts without a
    number, so these were given by the user.
    """
    return _scope(model, "", _bases_numbered_by_user(all_layers(model)))


def _scope(layer: keras.Layer, name: str, kept: set[str]) -> LayerScope:
    inner = sublayers(layer)
    names = sibling_names(inner, kept)
    children: dict[str, LayerScope] = {}
    for child in inner:
        if child.name not in children:
            children[child.name] = _scope(child, names[child.name], kept)
    return LayerScope(name, layer, children)


def sibling_names(
    layers: Iterable[keras.Layer], kept: Iterable[str] = ()
) -> dict[str, str]:
    """Renumbers the automatic names among the layers inside one layer.

    Args:
        layers: All layers directly inside one model or layer.
        kept: Names without number, such as "dense", whose numbers stay.

    Returns:
        The new names, keyed by the names in Keras.
    """
    layers = list(layers)
    names = {layer.name: layer.name for layer in layers}
    for base, numbers in automatic_numbers(layers).items():
        for count, number in enumerate(numbers):
            if base not in kept:
                names[join_number(base, number)] = join_number(base, count)
    return names


def unnumbered_name(layer: keras.Layer) -> str:
    """Returns the name of a layer, without a number that Keras added."""
    return sibling_names([layer])[layer.name]


def variable_names(model: LayerScope) -> list[tuple[str, Any]]:
    """Returns all variables of a model with names that do not change.

    Variables of a layer come under its name, `conv1/kernel`. Those of the
    metrics and the optimizer of a compiled model keep their paths,
    `accuracy/total` and `adam/conv1_kernel_momentum`.
    """
    named = {id(v): (name, v) for name, v in model.variables()}
    for variable in getattr(model.layer, "metrics_variables", []):
        named[id(variable)] = (variable.path, variable)
    owned = list(named.values())
    return owned + _optimizer_variables(model.layer, owned)


def _optimizer_variables(
    model: keras.Layer, named: list[tuple[str, Any]]
) -> list[tuple[str, Any]]:
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return []
    # The optimizer names a slot after the path of its variable, with the
    # numbers that are left out here.
    flat = {
        f"/{variable.path.replace('/', '_')}_": f"/{name.replace('/', '_')}_"
        for name, variable in named
    }
    # Loss scaling wraps the optimizer in another one.
    inner = getattr(optimizer, "inner_optimizer", None)
    names = sibling_names([optimizer] if inner is None else [optimizer, inner])
    found = []
    for variable in optimizer.variables:
        head, slash, rest = variable.path.partition("/")
        path = names.get(head, head) + slash + rest
        for old in sorted(flat, key=len, reverse=True):
            if old in path:
                path = path.replace(old, flat[old], 1)
                break
        found.append((path, variable))
    return found


def canonical_weight_paths(model: keras.Model) -> list[str]:
    """Returns the paths that the weights have in a new process.

    Layers that Keras named are numbered through the whole model, those of
    models inside it included. The name of the model itself is left out: Keras
    puts that of a Sequential model in front, and not that of a functional one.

    Returns:
        Paths such as `"dense/kernel"`, in the order of `model.weights`.
    """
    names = _canonical_names(model)
    paths = []
    for weight in model.weights:
        *scopes, leaf = weight.path.split("/")
        if scopes[:1] == [model.name] and len(scopes) > 1:
            scopes = scopes[1:]
        paths.append(join_path(*(names.get(s, s) for s in scopes), leaf))
    return paths


def _canonical_names(model: keras.Model) -> dict[str, str]:
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for layer in _layers_of_models(model):
        automatic = split_automatic_name(layer)
        if automatic is None or layer.name in names:
            continue
        base, _ = automatic
        names[layer.name] = join_number(base, counts.get(base, 0))
        counts[base] = counts.get(base, 0) + 1
    return names


def _layers_of_models(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers_of_models(layer)


def strip_numbers(path: str) -> str:
    """Returns the path of a variable without any number after a `_`.

    `"sequential_1/dense_4/kernel"` becomes `"sequential/dense/kernel"`. Numbers
    that the user gave go as well, so different variables may get equal names:
    compare lists of them, in order.
    """
    return re.sub(r"_\d+(?=/|_|$|:)", "", path)


def strip_names(config: Any) -> Any:
    """Returns a configuration without the names of its objects, at any depth.

    Args:
        config: JSON values, such as the result of `get_config`.
    """
    if isinstance(config, dict):
        return {k: strip_names(v) for k, v in config.items() if k != "name"}
    if isinstance(config, list):
        return [strip_names(item) for item in config]
    return config


def split_automatic_name(layer: keras.Layer) -> tuple[str, int] | None:
    """Returns ("dense", 2) for `dense_2`, `None` for a name of the user's.

    A name counts as Keras' choice if Keras could have made it from the class.
    """
    # `Bidirectional` adds the direction to the name of the layer inside.
    match = re.fullmatch(
        rf"(?P<base>(?:forward_|backward_)?{snake_case(type(layer).__name__)})"
        r"(?:_(?P<number>\d+))?",
        layer.name,
    )
    return match and (match["base"], int(match["number"] or 0))


def automatic_numbers(layers: Iterable[keras.Layer]) -> dict[str, list[int]]:
    """Returns the numbers that Keras gave to layers, keyed by name.

    The names `dense` and `dense_4` of two layers of class `Dense` give
    `{"dense": [0, 4]}`.
    """
    found: dict[str, set[int]] = {}
    for layer in layers:
        automatic = split_automatic_name(layer)
        if automatic is not None:
            base, number = automatic
            found.setdefault(base, set()).add(number)
    return {base: sorted(numbers) for base, numbers in found.items()}


def _bases_numbered_by_user(layers: Iterable[keras.Layer]) -> set[str]:
    """Returns the names that have the numbers 1, 2, ... but not 0."""
    return {
        base
        for base, numbers in automatic_numbers(layers).items()
        if len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1))
    }


def all_layers(model: keras.Layer) -> list[keras.Layer]:
    """Returns the layers at any depth inside a model or layer, each once."""
    found: dict[int, keras.Layer] = {}
    queue = sublayers(model)
    for layer in queue:
        if id(layer) not in found:
            found[id(layer)] = layer
            queue += sublayers(layer)
    return list(found.values())


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
    seen: set[int] = set()
    values = [value]
    while values:
        one = values.pop()
        if isinstance(one, keras.Layer):
            yield one
        elif isinstance(one, list | tuple | Mapping) and id(one) not in seen:
            seen.add(id(one))  # A list may hold itself.
            items = one.values() if isinstance(one, Mapping) else one
            values += reversed(list(items))


def snake_case(class_name: str) -> str:
    """Returns the name that Keras gives to the first layer of a class.

    `Conv2D` becomes `conv2d` and `BatchNormalization` `batch_normalization`.
    """
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def split_number(name: str) -> tuple[str, int]:
    """Returns ("dense", 2) for "dense_2", and ("dense", 0) for "dense"."""
    match = NUMBERED.fullmatch(name)
    if match is None or match["number"] is None:
        return name, 0
    return match["base"], int(match["number"])


def join_number(base: str, number: int) -> str:
    """Returns "dense" for number 0 and "dense_2" for 2."""
    return f"{base}_{number}" if number else base


def join_path(*parts: str) -> str:
    """Returns the parts that are not empty, with slashes between."""
    return "/".join(part for part in parts if part)
