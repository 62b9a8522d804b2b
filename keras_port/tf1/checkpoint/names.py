"""The TensorFlow 1 names under which a model's weights are written."""

from collections.abc import Sequence
import re
from typing import Literal
from typing import get_args

from keras_port.tf1.checkpoint.map import Names
from keras_port.tf1.checkpoint.model_weights import LEAVES
from keras_port.tf1.checkpoint.model_weights import ModelWeight

Scheme = Literal["letters", "numbered", "scoped", "keras"]
# What TensorFlow 1 accepts as the name of an operation.
VALID = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/-]*")
# The course's CNN for any number of channels, units and classes.
CNN_RANKS = [4, 1, 4, 1, 2, 1, 2, 1]
LETTERS = {"kernel": "W", "bias": "b"}
WORDS = {"kernel": "weight", "bias": "bias"}


def tf1_names(
    weights: Sequence[ModelWeight], names: Names | Scheme | None
) -> dict[str, str]:
    """Returns the TensorFlow 1 name for each path.

    Raises:
        ValueError: For an unknown scheme, for one that does not fit the
            model, and for names that TensorFlow 1 refuses.
    """
    if names is None:
        names = course_scheme(weights)
    if isinstance(names, str):
        found = by_scheme(weights, names)
    elif callable(names):
        found = {weight.path: names(weight.path) for weight in weights}
    else:
        found = dict(names)
    check_names([weight.path for weight in weights], found)
    return found


def course_scheme(weights: Sequence[ModelWeight]) -> Scheme:
    """Returns the course's own names for its two models, else Keras' paths."""
    leaves = [weight.path.rpartition("/")[2] for weight in weights]
    if leaves == ["kernel", "bias"] and len(weights[0].shape) == 2:
        return "letters"
    ranks = [len(weight.shape) for weight in weights]
    if leaves == ["kernel", "bias"] * 4 and ranks == CNN_RANKS:
        return "numbered"
    return "keras"


def by_scheme(weights: Sequence[ModelWeight], scheme: str) -> dict[str, str]:
    """Returns the names of one of the course's three kinds, or Keras' own."""
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
            word = WORDS.get(leaf, leaf)
            found[weight.path] = f"{scope}/{word}" if scope else word
        else:
            found[weight.path] = LETTERS.get(leaf, leaf)
    return found


def check_names(paths: Sequence[str], names: dict[str, str]) -> None:
    """Raises unless each weight has one name, valid and its own."""
    if unknown := sorted(set(names) - set(paths)):
        raise ValueError(
            f"`names` has the path {unknown[0]!r}, which is no weight of the "
            f"model. Its weights: {', '.join(paths)}."
        )
    if nameless := [path for path in paths if path not in names]:
        raise ValueError(
            f"`names` gives no name to {', '.join(nameless)}. A checkpoint "
            "holds the whole model: name each weight."
        )
    taken: dict[str, str] = {}
    for path, name in names.items():
        if not VALID.fullmatch(name):
            raise ValueError(
                f"TensorFlow 1 takes no variable called {name!r} (for "
                f"{path!r}): letters, digits, `.`, `_`, `-` and `/`, and no "
                "`_` first. Give another by `names={path: name}`."
            )
        if name in taken:
            raise ValueError(
                f"{path!r} and {taken[name]!r} would both be called {name!r}. "
                'Use `names="numbered"`, or name each by a dictionary.'
            )
        taken[name] = path
