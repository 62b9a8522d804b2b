"""Finds a tensor by the name that a user gives."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import difflib

from keras_port.inspection.layer_names import LayerScope
from keras_port.inspection.layer_names import joined
from keras_port.inspection.records import GraphOperation


class TensorNames:
    """Finds tensors by name, and refuses an unknown name with the nearest.

    Besides its own name, a tensor is found without regard to upper and lower
    case, which are never the only difference between two names; as `conv1:0`,
    if it is the one result of the layer `conv1`; and under the layers' names in
    Keras, where the graph has others.

    Args:
        operations: All operations of the graph.
        scopes: The layers, or `None` for a function.
        variables: Names of the variables, of which the graph may use some.
    """

    def __init__(
        self,
        operations: Sequence[GraphOperation],
        scopes: LayerScope | None,
        variables: Iterable[str],
    ) -> None:
        self.by_tensor = {
            tensor: operation
            for operation in operations
            for tensor in operation.outputs
        }
        self._operations = {op.name.lower(): op for op in operations}
        self._scopes = scopes
        self._aliases = {name.lower(): name for name in self.by_tensor}
        for name in variables:
            self._aliases.setdefault(f"{name}:0".lower(), f"{name}:0")
        for layer, tensor in layer_results(operations, scopes).items():
            self._aliases.setdefault(layer.lower(), tensor)

    def find(self, name: object) -> str:
        """Returns the full name of a tensor.

        Args:
            name: Name of a tensor, or a record that has one.
        """
        name = getattr(name, "name", name)
        if not isinstance(name, str):
            raise ValueError(
                "A tensor is given by its name, such as 'conv1/relu:0'. "
                f"Received: {name!r}"
            )
        for known in (name, self._translated(name)):
            if known.lower() in self._aliases:
                return self._aliases[known.lower()]
        raise ValueError(self._unknown(name))

    def _translated(self, name: str) -> str:
        """Returns a name with the graph's names for Keras' layers."""
        operation, colon, index = name.partition(":")
        segments = operation.split("/")
        if self._scopes is not None:
            if segments[0] == self._scopes.layer.name:
                del segments[0]
            scope = self._scopes
            for place, segment in enumerate(segments):
                if segment not in scope.children:
                    break
                scope = scope.children[segment]
                segments[place] = scope.name
        return f"{joined(*segments)}{colon}{index}"

    def _unknown(self, name: str) -> str:
        operation = self._operations.get(name.partition(":")[0].lower())
        if operation is not None and not operation.outputs:
            return f"The operation {operation.name!r} gives no tensor."
        if operation is not None:
            outputs = ", ".join(map(repr, operation.outputs))
            return (
                f"{name!r} is no tensor; those of the operation "
                f"{operation.name!r} are: {outputs}"
            )
        near = difflib.get_close_matches(
            name.lower(), self._aliases, n=3, cutoff=0.3
        )
        names = ", ".join(repr(self._shown(alias)) for alias in near)
        return (
            f"The graph has no tensor {name!r}. The nearest names are: "
            f"{names or 'none'}. All names: `[operation.name for operation in "
            "graph.operations]`."
        )

    def _shown(self, alias: str) -> str:
        name = self._aliases[alias]
        return name if name.lower() == alias else alias


def layer_results(
    operations: Iterable[GraphOperation], scopes: LayerScope | None
) -> Mapping[str, str]:
    """Returns the tensor that each layer gives to others, if it is one."""
    paths = {path for path, _ in (scopes.walk() if scopes else ()) if path}
    leaving: dict[str, set[str]] = {}
    for operation in operations:
        for tensor in operation.inputs:
            for path in layers_around(tensor, paths):
                if not operation.name.startswith(f"{path}/"):
                    leaving.setdefault(f"{path}:0", set()).add(tensor)
    return {
        alias: tensors.pop()
        for alias, tensors in leaving.items()
        if len(tensors) == 1
    }


def layers_around(tensor: str, paths: set[str]) -> list[str]:
    """Returns the layers that a tensor is inside of, the outermost first."""
    segments = tensor.split("/")
    heads = ("/".join(segments[:end]) for end in range(1, len(segments)))
    return [head for head in heads if head in paths]
