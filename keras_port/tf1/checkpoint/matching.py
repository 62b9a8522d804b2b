"""Recognises which variable of a checkpoint is which weight of a model."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import re
from typing import Literal

from keras_port.tf1.checkpoint.model_weights import LEAVES
from keras_port.tf1.checkpoint.model_weights import ModelWeight
from keras_port.tf1.checkpoint.model_weights import normal_name
from keras_port.tf1.checkpoint.variables import CheckpointVariable
from keras_port.tf1.checkpoint.variables import natural_key

Match = Literal["auto", "name", "order", "shape"]
NUMBERED = re.compile(r"(?P<base>.*?)(?:_(?P<number>\d+))?")


@dataclasses.dataclass(frozen=True)
class Matching:
    """Which variable belongs to which weight, and how that was found.

    Args:
        how: `"name"`, `"order"`, `"shape"` or `"map"`.
        pairs: Name in the file for the path in the model.
    """

    how: str
    pairs: dict[str, str]


class Matcher:
    """Finds the pairs in each of the ways there are.

    Args:
        weights: The model's weights.
        variables: What the file holds.
        order: The file's variables in the order of their creation, or an
            empty list if nobody knows it.
    """

    def __init__(
        self,
        weights: Sequence[ModelWeight],
        variables: Sequence[CheckpointVariable],
        order: Sequence[str],
    ) -> None:
        self.weights = weights
        self.shapes = {variable.name: variable.shape for variable in variables}
        # A scalar is a counter or a rate, unless the model has one as well.
        scalars = any(weight.shape == () for weight in weights)
        self.names = [
            variable.name
            for variable in variables
            if variable.kind == "weight" and (variable.shape or scalars)
        ]
        self.order = [name for name in order if name in self.names]

    def match(self, how: Match) -> Matching:
        """Returns the pairs, found as `how` says."""
        if how == "name":
            return Matching("name", self.by_name())
        if how == "order":
            return Matching("order", self.by_order())
        if how == "shape":
            return Matching("shape", self.by_shape())
        return self.automatic()

    def automatic(self) -> Matching:
        """Returns the first of name, order and shape in which all fit."""
        found = [Matching("name", self.by_name())]
        ordered = self.creation_order()
        if ordered and self.leaves_agree(ordered):
            found.append(Matching("order", self.by_order()))
        found.append(Matching("shape", self.by_shape()))
        for matching in found:
            if self.is_whole(matching.pairs):
                return matching
        # None: the one that says most about what does not fit.
        return max(found, key=lambda matching: len(matching.pairs))

    def is_whole(self, pairs: Mapping[str, str]) -> bool:
        """Tells whether each weight has a variable of its shape."""
        return all(
            weight.path in pairs
            and self.shapes[pairs[weight.path]] == weight.shape
            for weight in self.weights
        )

    def by_name(self) -> dict[str, str]:
        """Returns the pairs of equal names, up to scopes around them."""
        canonical = self.named([w.canonical for w in self.weights])
        literal = self.named([w.path for w in self.weights])
        whole = self.is_whole(canonical), self.is_whole(literal)
        if all(whole) and canonical != literal:
            path = next(p for p in literal if literal[p] != canonical[p])
            raise ValueError(
                f"The name of {path!r} was given by Keras, which counts layers "
                f"through the process: the file's {canonical[path]!r} and "
                f"{literal[path]!r} could both be meant. Say which by "
                f"`names={{{path!r}: ..., ...}}`, or give the layers names."
            )
        return literal if whole == (False, True) else canonical

    def named(self, paths: Sequence[str]) -> dict[str, str]:
        """Returns the pairs in which one name is the end of the other."""
        normal = {name: normal_name(name) for name in self.names}
        wanted = {
            weight.path: normal_name(path)
            for weight, path in zip(self.weights, paths, strict=True)
        }
        pairs: dict[str, str] = {}
        for is_match in (equal_names, is_end_of_other):
            free = [n for n in self.names if n not in pairs.values()]
            open_paths = [path for path in wanted if path not in pairs]
            choices = {
                path: [n for n in free if is_match(wanted[path], normal[n])]
                for path in open_paths
            }
            claimed = [n for names in choices.values() for n in names]
            for path, names in choices.items():
                if len(names) == 1 and claimed.count(names[0]) == 1:
                    pairs[path] = names[0]
        return pairs

    def by_order(self) -> dict[str, str]:
        """Returns the first weight with the first variable, and so on."""
        ordered = self.creation_order()
        if ordered:
            paths = [weight.path for weight in self.weights]
            return dict(zip(paths, ordered, strict=False))
        raise ValueError(
            "`match='order'` needs to know in which order the variables were "
            "made, from the checkpoint's `.meta` file beside it or from names "
            "such as `Variable`, `Variable_1`, and one variable for each "
            f"weight. Received: {len(self.names)} variables for "
            f"{len(self.weights)} weights. Give `names={{path: name}}`."
        )

    def creation_order(self) -> list[str]:
        """Returns the variables as they were made, or none if that is open.

        With more or fewer variables than weights, a position says nothing.
        """
        if len(self.names) != len(self.weights):
            return []
        if len(self.order) == len(self.names):
            return self.order
        found = [NUMBERED.fullmatch(name) for name in self.names]
        bases = {match["base"] for match in found if match}
        return sorted(self.names, key=natural_key) if len(bases) == 1 else []

    def leaves_agree(self, ordered: Sequence[str]) -> bool:
        """Tells whether no name contradicts the weight at its place.

        TensorFlow 1's layers do not all make `gamma` before `beta`, and the
        two have the same shape.
        """
        for weight, name in zip(self.weights, ordered, strict=True):
            leaf, own = normal_name(name)[-1], weight.path.rpartition("/")[2]
            if leaf in LEAVES.values() and leaf != LEAVES.get(own, leaf):
                return False
        return True

    def by_shape(self) -> dict[str, str]:
        """Returns the pairs whose shape occurs once on either side."""
        own = [weight.shape for weight in self.weights]
        theirs = [self.shapes[name] for name in self.names]
        return {
            weight.path: self.names[theirs.index(weight.shape)]
            for weight in self.weights
            if own.count(weight.shape) == theirs.count(weight.shape) == 1
        }


def equal_names(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tells whether two names are the same."""
    return one == other


def is_end_of_other(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Tells whether one name only has more scopes in front than the other."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]
