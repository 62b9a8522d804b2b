"""A user's own word on which variable is which weight."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from keras_port.tf1.checkpoint.matching import Matching
from keras_port.tf1.checkpoint.model_weights import ModelWeight
from keras_port.tf1.checkpoint.variables import CheckpointVariable

Names = Mapping[str, str] | Callable[[str], str]


def by_map(
    names: Names,
    weights: Sequence[ModelWeight],
    variables: Sequence[CheckpointVariable],
) -> Matching:
    """Returns the pairs that a map from paths to names says.

    Raises:
        ValueError: For a path that the model has not, a name that the file
            has not, and a name for two weights.
    """
    paths = [weight.path for weight in weights]
    known = [v.name for v in variables if v.dtype != "string"]
    pairs = (
        {path: names(path) for path in paths}
        if callable(names)
        else dict(names)
    )
    for path in pairs:
        if path not in paths:
            raise ValueError(
                f"`names` has the path {path!r}, which is no weight of the "
                f"model. Its weights: {', '.join(paths)}."
            )
    for name in pairs.values():
        # A function names each weight, and what the file lacks is missing.
        if name not in known and not callable(names):
            raise ValueError(
                f"`names` has the name {name!r}, which is not in the file. "
                f"It holds: {', '.join(known)}."
            )
        if list(pairs.values()).count(name) > 1:
            raise ValueError(
                f"`names` gives {name!r} to several weights. Each needs one "
                "of its own."
            )
    return Matching(
        "map", {path: name for path, name in pairs.items() if name in known}
    )
