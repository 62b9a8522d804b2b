"""Which updates and losses of a graph belong to some outputs."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from absl import logging

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1.graph.read import PLACEHOLDERS
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import Source
from keras_port.tf1.graph.read import operation
from keras_port.tf1.graph.read import variable_name
from keras_port.tf1.graph.select.subgraph import closure
from keras_port.tf1.graph.select.variable_writes import Assigned


def beside(
    source: Source, keep: Mapping[str, None], given: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Returns the updates and losses that belong to the outputs.

    An update does if it assigns to a variable of theirs, and a loss if it is
    computed from one. What needs a placeholder that is not given is of another
    part of the graph.
    """
    scope = source.scope
    own = {
        variable_name(scope.nodes[name])
        for name in keep
        if scope.nodes[name].op in VARIABLE_OPS
    }
    updates, losses = [], []
    for name in source.collections.updates:
        key = f"^{operation(name) if ':' in name else name}"
        more = closure([key], scope, given, keep)
        assigned = Assigned(source.functions, ())
        assigned.search(scope, only=more)
        if assigned.found & own and is_fed(more, scope, key):
            updates.append(key)
    for key in source.collections.losses:
        more = closure([key], scope, given, keep)
        if touches(more, scope, keep) and is_fed(more, scope, key):
            losses.append(key)
    return updates, losses


def is_fed(more: Iterable[str], scope: Scope, key: str) -> bool:
    """Tells whether operations need no placeholder, and says it if they do."""
    missing = [n for n in more if scope.nodes[n].op in PLACEHOLDERS]
    if missing:
        logging.warning(
            "GraphLayer leaves %r out: it needs the placeholder %r, which is "
            "neither in `inputs` nor in `constants`.",
            operation(key),
            missing[0],
        )
    return not missing


def touches(
    more: Iterable[str], scope: Scope, keep: Mapping[str, None]
) -> bool:
    """Tells whether operations are computed from something of the outputs."""
    return any(
        operation(key) in keep and scope.node(key).op != "Const"
        for name in more
        for key in scope.nodes[name].inputs
    )
