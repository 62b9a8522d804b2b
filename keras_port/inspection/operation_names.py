"""Operation names that start with the names of the layers."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses

from keras_port._support import LayerScope
from keras_port._support import join_path
from keras_port._support import split_number
from keras_port._support import unnumbered_name


class UniqueNames:
    """Gives every name once; names that differ only in case count as one."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}

    def give(self, name: str, *, reserved: Iterable[str] = ()) -> str:
        """Returns the name, or the name with the next number that is free.

        Args:
            name: The requested name.
            reserved: Names that are given only on request, never because they
                are the next free ones.
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
    """Renames the operations of a traced graph after the layers.

    TensorFlow makes every scope unique when it is opened, and Keras opens one
    scope to build a layer and another one to call it. So the traced names are
    `cnn_1/conv1_1/Relu`, or `cnn_5/conv1_5/Relu` for the next model. Here the
    scope of the model is left out, layers have their own names, and the
    operations under them are in lower case: `conv1/relu`. A second call of a
    layer gets a number. Without a model, names stay as they are.

    Args:
        model: The scopes of the model, or `None`.
        renamed_scopes: New names of scopes, such as
            `{"gradient_tape": "gradients"}`. They apply also to a scope to
            which TensorFlow appended a number.
    """

    def __init__(
        self, model: LayerScope | None, renamed_scopes: Mapping[str, str]
    ) -> None:
        self._model = model
        self._renamed_scopes = sorted(
            renamed_scopes.items(), key=lambda scope: -len(scope[0])
        )
        self._by_name = {
            scope.layer.name: scope
            for _, scope in (model.walk() if model else ())
            if scope is not model
        }

    def rename_scopes(self, name: str) -> str:
        """Returns a traced name with its first scopes renamed."""
        segments = name.split("/")
        for old, new in self._renamed_scopes:
            scopes = old.split("/")
            head = segments[: len(scopes)]
            if head and head[-1] != scopes[-1]:
                head = [*head[:-1], split_number(head[-1])[0]]
            if head == scopes and len(segments) > len(scopes):
                return join_path(new, *segments[len(scopes) :])
        return name

    def clean(
        self, operations: Iterable[str], fixed: Mapping[str, str]
    ) -> dict[str, str]:
        """Returns the clean names of the operations, keyed by traced name.

        Args:
            operations: Traced names, in the order of the graph.
            fixed: Clean names that are known already, keyed by traced name.
        """
        root = _Node("")
        memo: dict[str, tuple[_Node, LayerScope | None]] = {"": (root, None)}
        rest = {
            name: self.rename_scopes(name)
            for name in operations
            if name not in fixed
        }
        are_operations = set(rest.values())
        for name, path in rest.items():
            node, _ = self._node(path, memo, are_operations)
            if node.operation is not None:
                # Renaming made one scope of two.
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
            # Leave out the scope of the model, except in a second call.
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
        """Returns the layer of a scope that is inside the layer `around`."""
        # `dense_1` is the call of `dense` if there is such a layer: a layer
        # `dense_1` would have the scope `dense_1_1`.
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
        """Names the children of a node that has the name `path`."""
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
            # Only here, in its second call, the model itself has a name.
            wanted = child.layer.name or unnumbered_name(child.layer.layer)
            name = scopes.give(wanted, reserved=reserved)
            self._assign(child, join_path(path, name), names)
        # TensorFlow never appends a 0, so the user gave these numbers.
        numbered = {
            split_number(child.segment.lower())[0]
            for child in others
            if child.segment.endswith("_0")
        }
        # An operation keeps its number, since the user may have given it. A
        # scope loses its number, and gets the first one that is free.
        for child in sorted(others, key=_order):
            wanted = child.segment.lower() if self._model else child.segment
            if child.operation is not None:
                name = operations.give(wanted)
                scopes.give(name)
                names[child.operation] = join_path(path, name)
            else:
                base = split_number(wanted)[0] if self._model else wanted
                name = scopes.give(wanted if base in numbered else base)
            self._assign(child, join_path(path, name), names)


def _order(node: _Node) -> tuple[bool, int]:
    return node.operation is None, split_number(node.segment)[1]
