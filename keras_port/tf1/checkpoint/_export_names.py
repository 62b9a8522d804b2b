"""Chooses the TensorFlow 1 names under which a model's weights are saved."""

from collections.abc import Mapping
from collections.abc import Sequence
import re
from typing import Literal
from typing import get_args

import keras

from keras_port.tf1.checkpoint._matching import Names
from keras_port.tf1.checkpoint._model_weights import LEAVES
from keras_port.tf1.checkpoint._model_weights import ModelWeight
from keras_port.tf1.checkpoint._model_weights import find_graph_names

Scheme = Literal["letters", "numbered", "scoped", "keras"]
# The names that TensorFlow 1 accepts for an operation.
_VALID = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/-]*")
# The course's CNN, for any number of channels, units and classes.
_CNN_PATHS = [
    f"{layer}/{leaf}"
    for layer in ("conv1", "conv2", "fc1", "fc2")
    for leaf in ("kernel", "bias")
]
_LETTERS = {"kernel": "W", "bias": "b"}
_WORDS = {"kernel": "weight", "bias": "bias"}


def choose_names(
    model: keras.Model,
    weights: Sequence[ModelWeight],
    names: Names | Scheme | None,
) -> dict[str, str]:
    """Returns the TensorFlow 1 name for every path.

    Args:
        model: The model.
        weights: Its weights.
        names: What the user gave.

    Raises:
        ValueError: For an unknown scheme, for one that does not fit the
            model, and for names that TensorFlow 1 does not accept.
    """
    if names is None:
        scheme = _choose_scheme(weights)
        found = _apply_scheme(weights, scheme) | find_graph_names(model)
    elif isinstance(names, str):
        found = _apply_scheme(weights, names)
    elif callable(names):
        found = {weight.path: names(weight.path) for weight in weights}
    else:
        found = dict(names)
    _check_names([weight.path for weight in weights], found)
    return found


def _choose_scheme(weights: Sequence[ModelWeight]) -> Scheme:
    """Returns the scheme of the course's two models, or Keras' paths."""
    leaves = [weight.path.rpartition("/")[2] for weight in weights]
    if leaves == ["kernel", "bias"] and len(weights[0].shape) == 2:
        return "letters"
    if [weight.canonical for weight in weights] == _CNN_PATHS:
        return "numbered"
    return "keras"


def _apply_scheme(
    weights: Sequence[ModelWeight], scheme: str
) -> dict[str, str]:
    """Returns the names in one of the four schemes."""
    if scheme not in get_args(Scheme):
        raise ValueError(
            f"`names` must be one of {get_args(Scheme)}, a dictionary or a "
            f"function. Received: names={scheme!r}"
        )
    if scheme == "numbered":
        return {
            weight.path: f"Variable_{number}" if number else "Variable"
            for number, weight in enumerate(weights)
        }
    if scheme == "keras":
        return {weight.path: weight.canonical for weight in weights}
    found = {}
    for weight in weights:
        scope, _, leaf = weight.canonical.rpartition("/")
        leaf = LEAVES.get(leaf, leaf)
        if scheme == "scoped":
            word = _WORDS.get(leaf, leaf)
            found[weight.path] = f"{scope}/{word}" if scope else word
        else:
            found[weight.path] = _LETTERS.get(leaf, leaf)
    return found


def _check_names(paths: Sequence[str], names: Mapping[str, str]) -> None:
    """Raises unless every weight has its own valid name."""
    if unknown := sorted(set(names) - set(paths)):
        raise ValueError(
            f"`names` has the path {unknown[0]!r}, which is not a weight of "
            f"the model. Its weights: {', '.join(paths)}."
        )
    if nameless := [path for path in paths if path not in names]:
        raise ValueError(
            f"`names` gives no name to {', '.join(nameless)}. A checkpoint "
            "holds the whole model: name every weight."
        )
    taken: dict[str, str] = {}
    for path, name in names.items():
        if not _VALID.fullmatch(name):
            raise ValueError(
                f"TensorFlow 1 does not accept the variable name {name!r} (for "
                f"{path!r}). Use letters, digits, `.`, `_`, `-` and `/`, and "
                "do not start with `_`. Give another name with "
                "`names={path: name}`."
            )
        if name in taken:
            raise ValueError(
                f"{path!r} and {taken[name]!r} would both get the name "
                f'{name!r}. Use `names="numbered"`, or name every weight with '
                "a dictionary."
            )
        taken[name] = path
