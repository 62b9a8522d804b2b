"""Which variables the operations of a graph may assign to."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1.graph.read import WRITER_OPS
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import list_called_functions
from keras_port.tf1.graph.read import operation
from keras_port.tf1.graph.read import variable_name

# What passes a variable on, by its first input.
PASSING = (
    "Identity",
    "RefIdentity",
    "Switch",
    "RefSwitch",
    "Enter",
    "RefEnter",
    "Merge",
    *WRITER_OPS,
)
# Their first input decides, and is none of the function's arguments.
CHOOSING = ("If", "StatelessIf", "Case", "StatelessCase")


def writers(functions: Mapping[str, Scope]) -> frozenset[str]:
    """Returns the types that assign, and the functions that hold one."""
    found = set(WRITER_OPS)
    before: set[str] = set()
    while found != before:
        before = set(found)
        found |= {
            name
            for name, function in functions.items()
            for node in function.nodes.values()
            if not before.isdisjoint(list_called_functions(node))
        }
    return frozenset(found)


class Assigned:
    """Finds the variables that something assigns to.

    Args:
        functions: The library of the graph.
        everything: Names of all variables: where it cannot be told which one
            is meant, it may be each of them.
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
        """Searches a scope.

        Args:
            scope: The graph or function.
            arguments: The variable that each argument is, or `None`.
            only: Names of the operations to look at. Defaults to all.
        """
        arguments = arguments or {}
        key = (scope.name, *sorted(arguments.items(), key=str))
        if scope.name and key in self._seen:
            return
        self._seen.add(key)
        for name in scope.nodes if only is None else only:
            node = scope.nodes[name]
            if node.op in WRITER_OPS:
                found = resolve(node.inputs[:1], scope, arguments)
                self.found |= {found} if found else self.everything
            for called in list_called_functions(node):
                if called in self.functions:
                    self.search(
                        self.functions[called],
                        self.passed(node, called, scope, arguments),
                    )

    def passed(
        self,
        node: Node,
        called: str,
        scope: Scope,
        arguments: Mapping[str, str | None],
    ) -> dict[str, str | None]:
        """Returns which arguments of a function that is called are what."""
        inputs = node.inputs[1:] if node.op in CHOOSING else node.inputs
        own = self.functions[called].arguments
        return {
            argument: resolve((key,), scope, arguments)
            for argument, key in zip(own, inputs, strict=False)
        }


def resolve(
    keys: Sequence[str], scope: Scope, arguments: Mapping[str, str | None]
) -> str | None:
    """Returns the name of the variable that a first input is, or `None`."""
    seen: set[str] = set()
    while keys and keys[0] not in arguments and keys[0] not in seen:
        seen.add(keys[0])
        node = scope.nodes.get(operation(keys[0]))
        if node is None:
            return None
        if node.op in VARIABLE_OPS:
            return variable_name(node)
        keys = node.inputs if node.op in PASSING else ()
    return arguments.get(keys[0]) if keys else None
