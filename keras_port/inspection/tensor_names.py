"""Finds a tensor by the name that a user gives."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import difflib

from keras_port._support import LayerScope
from keras_port._support import join_path
from keras_port.inspection.records import GraphOperation


class TensorNames:
    """Finds tensors by name, and lists the closest names for an unknown one.

    Besides its own name, in upper or lower case, a tensor has two others:
    `conv1:0` for the only result of the layer `conv1`, and, where Keras numbers
    a layer differently, the name with Keras' name of the layer.

    Args:
        operations: All operations of the graph.
        scopes: Scopes of the layers, or `None` for a function.
        variables: Names of the variables, some of which the graph may not use.
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
        # No two names differ only in case.
        self._full_names = {name.lower(): name for name in self.by_tensor}
        for name in variables:
            self._full_names.setdefault(f"{name}:0".lower(), f"{name}:0")
        for layer, tensor in layer_results(operations, scopes).items():
            self._full_names.setdefault(layer.lower(), tensor)

    def find(self, name: object) -> str:
        """Returns the full name of a tensor.

        Args:
            name: Name of a tensor, or a record that has a name.
        """
        name = getattr(name, "name", name)
        if not isinstance(name, str):
            raise ValueError(
                "A tensor is given by its name, such as 'conv1/relu:0'. "
                f"Received: {name!r}."
            )
        for known in (name, self._rename_layers(name)):
            if known.lower() in self._full_names:
                return self._full_names[known.lower()]
        raise ValueError(self._describe_unknown(name))

    def _rename_layers(self, name: str) -> str:
        """Returns a name with the graph's names for Keras' layers."""
        operation, colon, index = name.partition(":")
        segments = operation.split("/")
        scope = self._scopes
        for place, segment in enumerate(segments):
            if scope is None or segment not in scope.children:
                break
            scope = scope.children[segment]
            segments[place] = scope.name
        return f"{join_path(*segments)}{colon}{index}"

    def _describe_unknown(self, name: str) -> str:
        operation = self._operations.get(name.partition(":")[0].lower())
        if operation is not None and not operation.outputs:
            return f"The operation {operation.name!r} has no output tensor."
        if operation is not None:
            outputs = ", ".join(map(repr, operation.outputs))
            return (
                f"{name!r} is not a tensor. The tensors of the operation "
                f"{operation.name!r} are: {outputs}."
            )
        close = difflib.get_close_matches(
            name.lower(), self._full_names, n=3, cutoff=0.3
        )
        names = ", ".join(repr(self._restore_case(match)) for match in close)
        return (
            f"The graph has no tensor {name!r}. The closest names are: "
            f"{names or 'none'}. For all names, use `[operation.name for "
            "operation in graph.operations]`."
        )

    def _restore_case(self, name: str) -> str:
        full_name = self._full_names[name]
        return full_name if full_name.lower() == name else name


def layer_results(
    operations: Iterable[GraphOperation], scopes: LayerScope | None
) -> Mapping[str, str]:
    """Returns the tensor that each layer passes on, if there is only one."""
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
