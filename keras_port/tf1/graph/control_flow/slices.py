"""Which operations some tensors need, and in which order they can run."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
from typing import Any

from keras_port.tf1.graph.control_flow.recovery import ControlFlow
from keras_port.tf1.graph.read import STRUCTURE
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import operation

# "node" and its name, "condition" and its predicate, "loop" and its frame.
UnitId = tuple[str, str]


@dataclasses.dataclass
class Unit:
    """What runs as one: an operation, a whole condition, or a whole loop.

    Args:
        kind: `"node"`, `"condition"` or `"loop"`.
        name: Of the operation, of the predicate, or of the loop.
        outputs: The keys that are wanted of it, in the order they were met.
        needs: The keys that must be there before.
    """

    kind: str
    name: str
    outputs: dict[str, None] = dataclasses.field(default_factory=dict)
    needs: dict[str, None] = dataclasses.field(default_factory=dict)


def needed(
    wanted: Iterable[str], flow: ControlFlow, have: Mapping[str, Any]
) -> dict[UnitId, Unit]:
    """Returns what must run for the wanted keys, beside what there is."""
    units: dict[UnitId, Unit] = {}
    stack = list(wanted)
    seen: set[str] = set()
    while stack:
        key = stack.pop()
        if key in seen or key in have:
            continue
        seen.add(key)
        node = flow.scope.node(key)
        if key.startswith("^") and is_structure(node, flow):
            continue
        identity = unit_of(node, flow)
        unit = units.setdefault(identity, Unit(*identity))
        first = not unit.outputs
        unit.outputs[key] = None
        if first or identity[0] == "condition":
            needs = list(needs_of(node, identity, flow))
            unit.needs.update(dict.fromkeys(needs))
            stack += needs
    return units


def unit_of(node: Node, flow: ControlFlow) -> UnitId:
    """Returns what runs when a node is wanted."""
    if flow.is_end(node):
        return "condition", flow.condition(node).predicate
    if node.op == "Exit" and node.name in flow.frame_of_exit:
        return "loop", flow.frame_of_exit[node.name]
    if node.op in STRUCTURE or node.op == "Exit":
        raise ValueError(
            f"The operation {node.name!r} of type {node.op} lies inside a "
            "condition or a loop and has no value outside of it. Name a "
            "tensor behind its end."
        )
    return "node", node.name


def needs_of(node: Node, identity: UnitId, flow: ControlFlow) -> Iterable[str]:
    """Yields the keys that a unit needs, as far as one node is concerned."""
    kind, name = identity
    if kind == "condition":
        yield from flow.condition(node).needs()
    elif kind == "loop":
        yield from flow.loop(name).needs()
    else:
        yield from node.inputs
        yield from (f"^{control}" for control in node.controls)


def is_structure(node: Node, flow: ControlFlow) -> bool:
    """Tells whether to wait for a node would only mean to be in a branch."""
    return node.op in STRUCTURE and not flow.is_end(node)


def dependents(
    units: Mapping[UnitId, Unit], flow: ControlFlow
) -> tuple[dict[UnitId, list[UnitId]], dict[UnitId, int]]:
    """Returns who waits for each unit, and for how many each one waits."""
    waiting: dict[UnitId, list[UnitId]] = {identity: [] for identity in units}
    counts = {}
    for identity, unit in units.items():
        sources = set()
        for key in unit.needs:
            node = flow.scope.nodes.get(operation(key))
            if node is None or (key[0] == "^" and is_structure(node, flow)):
                continue
            sources.add(source_of(node, flow))
        # What there was before is no unit, and nobody waits for it.
        sources &= units.keys()
        counts[identity] = len(sources)
        for source in sources:
            waiting[source].append(identity)
    return waiting, counts


def source_of(node: Node, flow: ControlFlow) -> UnitId:
    """Returns the unit that gives a node, also where it is a cut."""
    if flow.is_end(node) or node.op == "Exit":
        return unit_of(node, flow)
    return "node", node.name
