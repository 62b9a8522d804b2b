"""Operation names that begin with the layers' names, and stay the same."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses

import keras

from keras_port.inspection.layer_names import LayerScope
from keras_port.inspection.layer_names import graph_names
from keras_port.inspection.layer_names import joined
from keras_port.inspection.layer_names import split_number


class UniqueNames:
    """Gives each name once; names that differ in case alone count as one."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}

    def give(self, name: str, *, reserved: Iterable[str] = ()) -> str:
        """Returns the name, or the next with a number that is still free.

        Args:
            name: The name wanted.
            reserved: Names that may only be given as they are.
        """
        base, number = split_number(name)
        given = name
        others = set(reserved) - {name}
        while given.lower() in self._taken or given in others:
            number += 1
            given = f"{base}_{number}"
        self._taken.add(given.lower())
        return given


@dataclasses.dataclass(eq=False)
class _Node:
    """A scope, an operation or both, as traced."""

    segment: str
    layer: LayerScope | None = None
    operation: str | None = None
    children: list["_Node"] = dataclasses.field(default_factory=list)
    holds_model: bool = False


class OperationNames:
    """Makes the names of a traced graph those that a reader expects.

    TensorFlow makes each scope unique when it is opened, and Keras opens one
    to build a layer and one to call it. So the traced names are
    `cnn_1/conv1_1/Relu`, or `cnn_5/conv1_5/Relu` for the next model. Here the
    scope of the model goes, layers have their own names, and the operations
    under them are in lower case: `conv1/relu`. A second call of a layer gets a
    number. Without a model names stay as they are.

    Args:
        model: The scopes of the model, or `None`.
        rules: Scopes to rename, such as `{"gradient_tape": "gradients"}`.
            Numbers that TensorFlow appended do not matter.
    """

    def __init__(
        self, model: LayerScope | None, rules: Mapping[str, str]
    ) -> None:
        self._model = model
        self._rules = sorted(rules.items(), key=lambda rule: -len(rule[0]))
        self._by_name = {
            scope.layer.name: scope
            for _, scope in (model.walk() if model else ())
            if scope is not model
        }

    def apply_rules(self, name: str) -> str:
        """Returns a traced name with its first scopes renamed."""
        segments = name.split("/")
        for old, new in self._rules:
            scopes = old.split("/")
            head = segments[: len(scopes)]
            if head and head[-1] != scopes[-1]:
                head = [*head[:-1], split_number(head[-1])[0]]
            if head == scopes and len(segments) > len(scopes):
                return joined(new, *segments[len(scopes) :])
        return name

    def clean(
        self, operations: Iterable[str], fixed: Mapping[str, str]
    ) -> dict[str, str]:
        """Returns the clean name of each operation by its traced name.

        Args:
            operations: Traced names, in the order of the graph.
            fixed: Names that are known already, by traced name.
        """
        root = _Node("")
        memo: dict[str, tuple[_Node, LayerScope | None]] = {"": (root, None)}
        rest = {
            name: self.apply_rules(name)
            for name in operations
            if name not in fixed
        }
        are_operations = set(rest.values())
        for name, path in rest.items():
            node, _ = self._node(path, memo, are_operations)
            if node.operation is not None:
                # Two scopes became one by the rules.
                parent, _ = memo[path.rpartition("/")[0]]
                node = _Node(node.segment)
                parent.children.append(node)
            node.operation = name
        names = dict(fixed)
        self._assign(root, "", names)
        return names

    def _node(
        self,
        path: str,
        memo: dict[str, tuple[_Node, LayerScope | None]],
        are_operations: set[str],
    ) -> tuple[_Node, LayerScope | None]:
        if path in memo:
            return memo[path]
        head, _, segment = path.rpartition("/")
        parent, around = self._node(head, memo, are_operations)
        scope = None
        if self._model is not None and path not in are_operations:
            scope = self._layer(segment, around)
        if scope is self._model is not None and not parent.holds_model:
            # The scope of the model goes; a second call keeps it.
            parent.holds_model = True
            memo[path] = (parent, scope)
            return memo[path]
        node = _Node(segment, layer=scope)
        parent.children.append(node)
        memo[path] = (node, scope or around)
        return memo[path]

    def _layer(
        self, segment: str, around: LayerScope | None
    ) -> LayerScope | None:
        """Returns the layer that a scope inside the layer `around` is of."""
        # `dense_1` is the call of `dense` if there is one: a layer `dense_1`
        # would have the scope `dense_1_1`.
        assert self._model is not None
        for name in (split_number(segment)[0], segment):
            if around is None and name == self._model.layer.name:
                return self._model
            if around is not None and name in around.children:
                return around.children[name]
            if name in self._by_name:
                return self._by_name[name]
        return None

    def _assign(self, node: _Node, path: str, names: dict[str, str]) -> None:
        """Names the children of a node whose own name is known."""
        above = f"{path}/" if path else ""
        operations = UniqueNames(
            name.removeprefix(above)
            for name in names.values()
            if name.startswith(above)
        )
        scopes = UniqueNames()
        layers = [child for child in node.children if child.layer]
        reserved = {child.layer.name for child in layers if child.layer}
        others = [child for child in node.children if not child.layer]
        for child in layers:
            assert child.layer is not None
            # The model itself has a name only here, in its second call.
            wanted = child.layer.name or _model_name(child.layer.layer)
            name = scopes.give(wanted, reserved=reserved)
            self._assign(child, joined(path, name), names)
        # TensorFlow itself never appends a 0: these numbers are somebody's.
        numbered = {
            split_number(child.segment.lower())[0]
            for child in others
            if child.segment.endswith("_0")
        }
        # An operation keeps its number, since a name given by hand may end in
        # one; a scope without one gets the first that is free.
        for child in sorted(others, key=_order):
            wanted = child.segment.lower() if self._model else child.segment
            if child.operation is not None:
                name = operations.give(wanted)
                scopes.give(name)
                names[child.operation] = joined(path, name)
            else:
                base = split_number(wanted)[0] if self._model else wanted
                name = scopes.give(wanted if base in numbered else base)
            self._assign(child, joined(path, name), names)


def _model_name(model: keras.Layer) -> str:
    return graph_names([model])[model.name]


def _order(node: _Node) -> tuple[bool, int]:
    return node.operation is None, split_number(node.segment)[1]
