"""Finds what must be traced for some tensors, and in which order."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
from typing import Protocol

from keras_port.tf1.graph.control_flow.structure import ControlFlow
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations

# "node" and its name, "condition" and its predicate, "loop" and its frame.
UnitId = tuple[str, str]
# The order of the units that can be traced at a time: first those with code of
# their own, then those that are imported, whole conditions and loops, and last
# those that assign to variables.
SPECIAL, IMPORTED, WHOLE, WRITING = range(4)


@dataclasses.dataclass
class Unit:
    """What is traced as one: an operation, a whole condition or a whole loop.

    Args:
        kind: `"node"`, `"condition"` or `"loop"`.
        name: Name of the operation, predicate or frame.
        outputs: The keys that are wanted from it, in the order of the search.
        needs: The keys that must have a value before.
    """

    kind: str
    name: str
    outputs: dict[str, None] = dataclasses.field(default_factory=dict)
    needs: dict[str, None] = dataclasses.field(default_factory=dict)


class UnitKinds(Protocol):
    """Says how units are traced."""

    def is_special(self, scope: Scope, unit: Unit) -> bool:
        """Returns whether a unit is not imported."""

    def writes(self, scope: Scope, unit: Unit) -> bool:
        """Returns whether a unit assigns to a variable."""


def find_units(
    wanted: Iterable[str], flow: ControlFlow, known: Mapping[str, object]
) -> dict[UnitId, Unit]:
    """Returns what must be traced for the wanted keys.

    Args:
        wanted: The keys.
        flow: The conditions and loops of their scope.
        known: The keys that have a value.
    """
    units: dict[UnitId, Unit] = {}
    stack = list(wanted)
    seen: set[str] = set()
    while stack:
        key = stack.pop()
        if key in seen or key in known:
            continue
        seen.add(key)
        node = flow.scope.node(key)
        if key.startswith("^") and is_structure(node, flow):
            continue
        identity = identify_unit(node, flow)
        unit = units.setdefault(identity, Unit(*identity))
        is_new = not unit.outputs
        unit.outputs[key] = None
        if is_new or identity[0] == "condition":
            needs = list(find_needs(node, identity, flow))
            unit.needs.update(dict.fromkeys(needs))
            stack += needs
    return units


def identify_unit(node: Node, flow: ControlFlow) -> UnitId:
    """Returns the unit that gives an operation its value."""
    if flow.ends_condition(node):
        return "condition", flow.get_condition(node).predicate
    if node.op == "Exit" and node.name in flow.loops.frame_of_exit:
        return "loop", flow.loops.frame_of_exit[node.name]
    if node.op in operations.STRUCTURE or node.op == "Exit":
        raise ValueError(
            f"The operation {node.name!r} of type {node.op} is inside a "
            "condition or a loop and has no value outside of it. Name a "
            "tensor after its end."
        )
    return "node", node.name


def find_needs(
    node: Node, identity: UnitId, flow: ControlFlow
) -> Iterable[str]:
    """Yields the keys that a unit needs to give one operation its value."""
    kind, name = identity
    if kind == "condition":
        yield from flow.get_condition(node).needs()
    elif kind == "loop":
        yield from flow.loops.get(name).needs()
    else:
        yield from node.inputs
        yield from (f"^{control}" for control in node.controls)


def is_structure(node: Node, flow: ControlFlow) -> bool:
    """Returns whether waiting for an operation only marks a branch or loop."""
    return node.op in operations.STRUCTURE and not flow.ends_condition(node)


def order_units(
    units: Mapping[UnitId, Unit], flow: ControlFlow, kinds: UnitKinds
) -> Iterator[list[Unit]]:
    """Yields the units, every one after those that it needs.

    Units that TensorFlow imports come in lists as long as possible, all others
    alone.
    """
    waiting, counts = find_dependents(units, flow)
    ready: list[list[UnitId]] = [[], [], [], []]
    batch: list[Unit] = []
    done = 0

    def add(identity: UnitId) -> None:
        ready[choose_queue(units[identity], flow.scope, kinds)].append(identity)

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


def choose_queue(unit: Unit, scope: Scope, kinds: UnitKinds) -> int:
    """Returns the index of the queue that a unit waits in."""
    if kinds.writes(scope, unit):
        return WRITING
    if unit.kind != "node":
        return WHOLE
    return SPECIAL if kinds.is_special(scope, unit) else IMPORTED


def find_dependents(
    units: Mapping[UnitId, Unit], flow: ControlFlow
) -> tuple[dict[UnitId, list[UnitId]], dict[UnitId, int]]:
    """Returns what waits for every unit, and for how many it waits itself."""
    waiting: dict[UnitId, list[UnitId]] = {identity: [] for identity in units}
    counts = {}
    for identity, unit in units.items():
        sources = set()
        for key in unit.needs:
            node = flow.scope.nodes.get(operation_name(key))
            if node is None or (key[0] == "^" and is_structure(node, flow)):
                continue
            sources.add(identify_source(node, flow))
        # What had a value before is not a unit, and nothing waits for it.
        sources &= units.keys()
        counts[identity] = len(sources)
        for source in sources:
            waiting[source].append(identity)
    return waiting, counts


def identify_source(node: Node, flow: ControlFlow) -> UnitId:
    """Returns the unit of an operation, even at the start of a branch."""
    if flow.ends_condition(node) or node.op == "Exit":
        return identify_unit(node, flow)
    return "node", node.name
