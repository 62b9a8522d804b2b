"""In which order operations are traced, and which ones together."""

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Protocol

from keras_port.tf1.graph.control_flow.recovery import ControlFlow
from keras_port.tf1.graph.control_flow.slices import Unit
from keras_port.tf1.graph.control_flow.slices import UnitId
from keras_port.tf1.graph.control_flow.slices import dependents
from keras_port.tf1.graph.read import Scope

# Which of the units that could be traced comes first: one that is traced by
# itself, those that are imported, whole conditions and loops, and last what
# assigns to variables.
SPECIAL, IMPORTED, WHOLE, WRITING = range(4)


class Kinds(Protocol):
    """Says what kind of unit something is."""

    def is_special(self, scope: Scope, unit: Unit) -> bool:
        """Tells whether a unit is not imported."""

    def writes(self, scope: Scope, unit: Unit) -> bool:
        """Tells whether something in a unit assigns to a variable."""


def in_order(
    units: Mapping[UnitId, Unit], flow: ControlFlow, kinds: Kinds
) -> Iterator[list[Unit]]:
    """Yields the units, each after those that it needs.

    What TensorFlow imports comes in lists as long as possible, all else alone.
    """
    waiting, counts = dependents(units, flow)
    ready: list[list[UnitId]] = [[], [], [], []]
    batch: list[Unit] = []
    done = 0

    def add(identity: UnitId) -> None:
        ready[order(units[identity], flow.scope, kinds)].append(identity)

    for identity, count in counts.items():
        if not count:
            add(identity)
    while any(ready):
        if ready[IMPORTED] and (batch or not ready[SPECIAL]):
            identity = ready[IMPORTED].pop()
            batch.append(units[identity])
        else:
            if batch:
                yield batch
                batch = []
            identity = next(queue for queue in ready if queue).pop()
            yield [units[identity]]
        done += 1
        for other in waiting[identity]:
            counts[other] -= 1
            if not counts[other]:
                add(other)
    if batch:
        yield batch
    if done < len(units):
        name = next(name for (_, name), count in counts.items() if count)
        raise ValueError(
            "The graph is broken: some operations wait for each other, such "
            f"as {name!r}{flow.scope.where()}."
        )


def order(unit: Unit, scope: Scope, kinds: Kinds) -> int:
    """Returns when a unit is traced, among those that could be."""
    if kinds.writes(scope, unit):
        return WRITING
    if unit.kind != "node":
        return WHOLE
    return SPECIAL if kinds.is_special(scope, unit) else IMPORTED
