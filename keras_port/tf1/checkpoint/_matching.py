"""Matches the variables of a checkpoint to the weights of a model."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import re
from typing import Literal

from keras_port.tf1.checkpoint._model_weights import LEAVES
from keras_port.tf1.checkpoint._model_weights import ModelWeight
from keras_port.tf1.checkpoint._model_weights import normalize_name
from keras_port.tf1.checkpoint.variables import CheckpointVariable
from keras_port.tf1.checkpoint.variables import natural_key

Match = Literal["auto", "name", "order", "shape"]
# A TensorFlow 1 name for the path of every weight.
Names = Mapping[str, str] | Callable[[str], str]
_NUMBERED = re.compile(r"(?P<base>.*?)(?:_(?P<number>\d+))?")


@dataclasses.dataclass(frozen=True)
class Matching:
    """Says which variable belongs to which weight.

    Args:
        matched_by: How that was decided.
        pairs: Name in the file for the path of every matched weight.
        interchangeable: Groups of paths whose shape is the same, so that only
            the order says which variable is which.
    """

    matched_by: Literal["name", "order", "shape", "shape and order", "map"]
    pairs: dict[str, str]
    interchangeable: tuple[tuple[str, ...], ...] = ()


def fits(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Returns whether two shapes differ in axes of length 1 at most.

    TensorFlow 1 programs have biases of shape (1, 10), and `alpha` of shape
    (1, 1, 10). The values are the same and in the same order.
    """
    return _squeeze(one) == _squeeze(other)


def _squeeze(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns a shape without its axes of length 1."""
    return tuple(size for size in shape if size != 1)


def match_by_map(
    names: Names,
    weights: Sequence[ModelWeight],
    variables: Sequence[CheckpointVariable],
    scope: str,
) -> Matching:
    """Matches as the user's own map from paths to names says.

    Args:
        names: The map. With a scope, its names may leave it out.
        weights: The model's weights.
        variables: The variables of the file, in the scope.
        scope: The scope with a slash, or `""`.

    Raises:
        ValueError: For a path that is not in the model, a name that is not in
            the file, and a name for two weights.
    """
    paths = [weight.path for weight in weights]
    known = [v.name for v in variables if v.dtype != "string"]
    pairs = (
        {path: names(path) for path in paths}
        if callable(names)
        else dict(names)
    )
    for path, name in pairs.items():
        if name not in known and f"{scope}{name}" in known:
            pairs[path] = f"{scope}{name}"
        if path not in paths:
            raise ValueError(
                f"`names` has the path {path!r}, which is not a weight of the "
                f"model. Its weights: {', '.join(paths)}."
            )
    for name in pairs.values():
        # A function names every weight. Those not in the file are missing.
        if name not in known and not callable(names):
            raise ValueError(
                f"`names` has the name {name!r}, which is not in the file. "
                f"The file holds: {', '.join(known)}."
            )
        if list(pairs.values()).count(name) > 1:
            raise ValueError(
                f"`names` gives {name!r} to several weights. Give every weight "
                "its own name."
            )
    return Matching(
        "map", {path: name for path, name in pairs.items() if name in known}
    )


class Matcher:
    """Matches by name, by order or by shape.

    Args:
        weights: The model's weights.
        variables: The variables of the file.
        order: The file's variables in the order of their creation, or an
            empty list if it is unknown.
        scope: The scope, with a slash, that all variables are in, or `""`.
    """

    def __init__(
        self,
        weights: Sequence[ModelWeight],
        variables: Sequence[CheckpointVariable],
        order: Sequence[str],
        scope: str = "",
    ) -> None:
        self._weights = weights
        self._scope = scope
        self._shapes = {variable.name: variable.shape for variable in variables}
        # A scalar is a counter or a rate, unless the model has one as well.
        scalars = any(weight.shape == () for weight in weights)
        self._names = [
            variable.name
            for variable in variables
            if variable.kind == "weight" and (variable.shape or scalars)
        ]
        self._order = [name for name in order if name in self._names]

    def match(self, match: Match) -> Matching:
        """Matches in one way, or in the first way that fits all weights."""
        if match == "name":
            return Matching("name", self._match_names())
        if match == "order":
            return Matching("order", self._match_order())
        if match == "shape":
            return self._match_shapes()
        return self._match_automatically()

    def _match_automatically(self) -> Matching:
        """Returns the first of name, order and shape that fits all weights.

        Raises:
            ValueError: If several ways fit, and contradict each other.
        """
        found = [Matching("name", self._match_names())]
        if self._get_creation_order() and self._leaves_agree(
            self._match_order()
        ):
            found.append(Matching("order", self._match_order()))
        found.append(self._match_shapes())
        complete = [one for one in found if self._is_complete(one.pairs)]
        if not complete:
            # The one that fits best says most about what does not.
            return max(
                found,
                key=lambda one: (
                    self._count_fitting(one.pairs),
                    len(one.pairs),
                ),
            )
        first, last = complete[0], complete[-1]
        if first.matched_by != "order" or not self._swaps_shapes(first.pairs):
            return first
        if first is not last and not self._list_reshaped(last.pairs):
            return last
        path = self._list_reshaped(first.pairs)[0].path
        raise ValueError(
            "Axes of length 1 differ, so several variables of the file could "
            f"be {path!r}: {first.pairs[path]!r} by the order in which they "
            "were created, or another one by the shape. Give the right names "
            "with `names={path: name}`."
        )

    def _is_complete(self, pairs: Mapping[str, str]) -> bool:
        """Returns whether every weight has a variable that fits."""
        return self._count_fitting(pairs) == len(self._weights)

    def _count_fitting(self, pairs: Mapping[str, str]) -> int:
        """Returns the number of weights that have a variable that fits."""
        return sum(
            weight.path in pairs
            and fits(self._shapes[pairs[weight.path]], weight.shape)
            for weight in self._weights
        )

    def _list_reshaped(self, pairs: Mapping[str, str]) -> list[ModelWeight]:
        """Returns the weights whose shape is not that of their variable."""
        return [
            weight
            for weight in self._weights
            if self._shapes[pairs[weight.path]] != weight.shape
        ]

    def _swaps_shapes(self, pairs: Mapping[str, str]) -> bool:
        """Returns whether a weight gets a variable of another one's shape.

        By the order, where all kernels were created before all biases, a bias
        (10,) would get a kernel (10, 1), and that kernel a bias (1, 10).
        """
        reshaped = self._list_reshaped(pairs)
        shapes = {weight.shape for weight in reshaped}
        return any(self._shapes[pairs[w.path]] in shapes for w in reshaped)

    def _match_names(self) -> dict[str, str]:
        """Pairs equal names, except for scopes around them."""
        canonical = self._match_paths([w.canonical for w in self._weights])
        literal = self._match_paths([w.path for w in self._weights])
        complete = self._is_complete(canonical), self._is_complete(literal)
        if all(complete) and canonical != literal:
            path = next(p for p in literal if literal[p] != canonical[p])
            raise ValueError(
                f"Keras named {path!r} automatically, and it numbers layers "
                f"through the whole process: the file's {canonical[path]!r} "
                f"and {literal[path]!r} could both be meant. Give the right "
                f"one with `names={{{path!r}: ..., ...}}`, or name the layers."
            )
        return literal if complete == (False, True) else canonical

    def _match_paths(self, paths: Sequence[str]) -> dict[str, str]:
        """Pairs names of which one is the end of the other.

        Args:
            paths: The path of every weight, as it is to be compared.
        """
        normal = {
            name: normalize_name(name.removeprefix(self._scope))
            for name in self._names
        }
        wanted = {
            weight.path: normalize_name(path)
            for weight, path in zip(self._weights, paths, strict=True)
        }
        pairs: dict[str, str] = {}
        for is_match in (_are_equal, _is_end_of_other):
            free = [n for n in self._names if n not in pairs.values()]
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

    def _match_order(self) -> dict[str, str]:
        """Pairs the first weight with the first variable, and so on."""
        ordered = self._get_creation_order()
        if ordered:
            paths = [weight.path for weight in self._weights]
            return dict(zip(paths, ordered, strict=False))
        raise ValueError(
            "`match='order'` needs the order in which the variables were "
            "created, from the checkpoint's `.meta` file next to it or from "
            "names such as `Variable`, `Variable_1`, and as many variables as "
            f"weights. Give `names={{path: name}}` instead. Received: "
            f"{len(self._names)} variables for {len(self._weights)} weights."
        )

    def _get_creation_order(self) -> list[str]:
        """Returns the variables as they were created, or `[]` if unknown.

        With more or fewer variables than weights, a position says nothing.
        """
        if len(self._names) != len(self._weights):
            return []
        if len(self._order) == len(self._names):
            return self._order
        found = [_NUMBERED.fullmatch(name) for name in self._names]
        bases = {match["base"] for match in found if match}
        return sorted(self._names, key=natural_key) if len(bases) == 1 else []

    def _leaves_agree(self, pairs: Mapping[str, str]) -> bool:
        """Returns whether no name contradicts the path of its weight.

        Not all of TensorFlow 1's layers create `gamma` before `beta`, and both
        have the same shape.
        """
        for path, name in pairs.items():
            leaf, own = normalize_name(name)[-1], path.rpartition("/")[2]
            if leaf in LEAVES.values() and leaf != LEAVES.get(own, leaf):
                return False
        return True

    def _match_shapes(self) -> Matching:
        """Pairs shapes that occur as often in the model as in the file.

        Several variables of one shape are paired in the order of creation, if
        every variable of the file belongs to a weight. So are the variables of
        a program that creates all kernels before all biases. Equal shapes come
        before those that only fit.
        """
        pairs: dict[str, str] = {}
        groups: list[tuple[str, ...]] = []
        for get_key in (tuple, _squeeze):
            for group in self._group_by_shape(get_key, pairs):
                if len(group) > 1:
                    groups.append(tuple(group))
                pairs |= group
        if groups and not self._is_complete(pairs):
            # Without the rest, the order says nothing.
            for path in itertools.chain.from_iterable(groups):
                del pairs[path]
            groups = []
        return Matching(
            "shape and order" if groups else "shape", pairs, tuple(groups)
        )

    def _group_by_shape(
        self,
        get_key: Callable[[tuple[int, ...]], tuple[int, ...]],
        taken: Mapping[str, str],
    ) -> list[dict[str, str]]:
        """Returns the pairs for every shape, of those that are left.

        Args:
            get_key: What must be equal for two shapes to be the same.
            taken: The pairs before.
        """
        order = self._get_creation_order()
        free = [w for w in self._weights if w.path not in taken]
        names = [n for n in order or self._names if n not in taken.values()]
        groups = []
        for key in dict.fromkeys(get_key(weight.shape) for weight in free):
            own = [w for w in free if get_key(w.shape) == key]
            found = [n for n in names if get_key(self._shapes[n]) == key]
            if len(own) != len(found):
                continue
            group = {w.path: n for w, n in zip(own, found, strict=True)}
            is_one_shape = len({weight.shape for weight in own}) == 1
            if len(own) == 1 or (
                order and is_one_shape and self._leaves_agree(group)
            ):
                groups.append(group)
        return groups


def _are_equal(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Returns whether two names are the same."""
    return one == other


def _is_end_of_other(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Returns whether two names differ only in leading scopes."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]
