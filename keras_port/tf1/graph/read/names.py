"""Finds what a name means in a graph, or says which names are near."""

from collections.abc import Iterable
import difflib

from keras_port.tf1.graph.read.nodes import Scope
from keras_port.tf1.graph.read.nodes import operation

SHOWN = 5


def tensor(name: str, scope: Scope, argument: str) -> str:
    """Returns the key of a tensor that a user has named.

    Args:
        name: `"x_"` or `"x_:0"`.
        scope: The graph.
        argument: Name of the argument, for the message.
    """
    if not isinstance(name, str) or not name or name.startswith("^"):
        raise ValueError(
            f"`{argument}` must hold names of tensors, such as 'x_' or "
            f"'x_:0'. Received: {name!r}"
        )
    before, colon, number = name.rpartition(":")
    key = f"{before}:{number}" if colon else f"{name}:0"
    if colon and not (number.isascii() and number.isdigit()):
        raise ValueError(
            f"`{argument}` must hold names of tensors, such as 'x_' or "
            f"'x_:0'. Received: {name!r}"
        )
    if operation(key) not in scope.nodes:
        raise ValueError(
            f"`{argument}`: the graph has no operation {operation(key)!r}. "
            f"{nearest(operation(key), scope.nodes)}"
        )
    return f"{operation(key)}:{int(key.rpartition(':')[2])}"


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns a sentence with the names that are most like a wrong one."""
    # The letters of the name itself count, those of its scopes do not.
    by_case: dict[str, str] = {}
    for one in names:
        by_case.setdefault(one.casefold(), one)
    folded = name.casefold()
    inside = [
        one
        for low, one in by_case.items()
        if folded in low.split("/") or low.rpartition("/")[2] == folded
    ]
    close = [
        by_case[low]
        for low in difflib.get_close_matches(folded, by_case, SHOWN, 0.5)
    ]
    found = list(dict.fromkeys([*inside[:SHOWN], *close]))[:SHOWN]
    if not found:
        return "`list_graph` shows the names that it has."
    return f"Nearest: {', '.join(found)}. `list_graph` shows more."
