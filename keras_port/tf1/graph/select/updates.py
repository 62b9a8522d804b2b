"""Finds which variables a graph assigns, and which updates an output needs."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from absl import logging

from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import called_functions
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.select.subgraph import find_needed

# They pass a variable on by their first input.
FORWARDING = (
    "Identity",
    "RefIdentity",
    "Switch",
    "RefSwitch",
    "Enter",
    "RefEnter",
    "Merge",
    *operations.WRITERS,
)


def find_updates_and_losses(
    source: GraphFile, names: Mapping[str, None], given: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Returns the keys of the updates and losses that belong to the outputs.

    An update belongs to them if it assigns to one of their variables, and a
    loss if it is computed from one of their operations. Those that need
    another placeholder belong to another part of the graph.

    Args:
        source: The graph.
        names: Names of the operations that the outputs need.
        given: Keys of the tensors that have values.
    """
    scope = source.scope
    own = {
        variable_name(scope.nodes[name])
        for name in names
        if scope.nodes[name].op in operations.VARIABLES
    }
    updates, losses = [], []
    for name in source.collections.updates:
        key = f"^{operation_name(name) if ':' in name else name}"
        more = find_needed([key], scope, given, names)
        assigned = AssignedVariables(source.functions, ())
        assigned.search(scope, only=more)
        if assigned.found & own and check_placeholders(more, scope, key):
            updates.append(key)
    for key in source.collections.losses:
        more = find_needed([key], scope, given, names)
        if reads_from(more, scope, names) and check_placeholders(
            more, scope, key
        ):
            losses.append(key)
    return updates, losses


def check_placeholders(names: Iterable[str], scope: Scope, key: str) -> bool:
    """Returns whether operations need no placeholder; warns if they do."""
    missing = [n for n in names if scope.nodes[n].op in operations.PLACEHOLDERS]
    if missing:
        logging.warning(
            "GraphLayer ignores %r: it needs the placeholder %r, which is "
            "neither in `inputs` nor in `constants`.",
            operation_name(key),
            missing[0],
        )
    return not missing


def reads_from(
    names: Iterable[str], scope: Scope, sources: Mapping[str, None]
) -> bool:
    """Returns whether operations read a result of others, not a constant."""
    return any(
        operation_name(key) in sources and scope.node(key).op != "Const"
        for name in names
        for key in scope.nodes[name].inputs
    )


def find_writers(functions: Mapping[str, Scope]) -> frozenset[str]:
    """Returns the operation types that assign, and the functions that do."""
    found = set(operations.WRITERS)
    before: set[str] = set()
    while found != before:
        before = set(found)
        found |= {
            name
            for name, function in functions.items()
            for node in function.nodes.values()
            if not before.isdisjoint(called_functions(node))
        }
    return frozenset(found)


class AssignedVariables:
    """Finds the variables that operations assign to.

    Args:
        functions: The functions of the graph, by name.
        everything: Names of all variables. They are all taken as assigned
            where the graph does not show which one an operation assigns to.
    """

    def __init__(
        self, functions: Mapping[str, Scope], everything: Iterable[str]
    ) -> None:
        self.functions = functions
        self.everything = set(everything)
        self.found: set[str] = set()
        self._seen: set[tuple[object, ...]] = set()

    def search(
        self,
        scope: Scope,
        arguments: Mapping[str, str | None] | None = None,
        only: Iterable[str] | None = None,
    ) -> None:
        """Searches a scope, and adds to `found`.

        Args:
            scope: The graph or function.
            arguments: The variable that every argument is, or `None`.
            only: Names of the operations to search. Defaults to all.
        """
        arguments = arguments or {}
        key = (scope.name, *sorted(arguments.items(), key=str))
        if scope.name and key in self._seen:
            return
        self._seen.add(key)
        for name in scope.nodes if only is None else only:
            node = scope.nodes[name]
            if node.op in operations.WRITERS:
                found = resolve_variable(node.inputs[:1], scope, arguments)
                self.found |= {found} if found else self.everything
            for called in called_functions(node):
                if called in self.functions:
                    self.search(
                        self.functions[called],
                        self._bind_arguments(node, called, scope, arguments),
                    )

    def _bind_arguments(
        self,
        node: Node,
        called: str,
        scope: Scope,
        arguments: Mapping[str, str | None],
    ) -> dict[str, str | None]:
        """Returns the variable that every argument of a called function is."""
        is_choice = node.op in operations.FUNCTION_CHOICES
        inputs = node.inputs[1:] if is_choice else node.inputs
        own = self.functions[called].arguments
        return {
            argument: resolve_variable((key,), scope, arguments)
            for argument, key in zip(own, inputs, strict=False)
        }


def resolve_variable(
    keys: Sequence[str], scope: Scope, arguments: Mapping[str, str | None]
) -> str | None:
    """Returns the name of the variable that the first key is, or `None`."""
    seen: set[str] = set()
    while keys and keys[0] not in arguments and keys[0] not in seen:
        seen.add(keys[0])
        node = scope.nodes.get(operation_name(keys[0]))
        if node is None:
            return None
        if node.op in operations.VARIABLES:
            return variable_name(node)
        keys = node.inputs if node.op in FORWARDING else ()
    return arguments.get(keys[0]) if keys else None
