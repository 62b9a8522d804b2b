"""Finds the conditions and loops of TensorFlow 1's first control flow.

A condition is `Switch` on the way in and `Merge` on the way out, a loop
`Enter`, `Merge`, `Switch`, `NextIteration` and `Exit`. Both are recognised by
these operations alone, so that a graph needs no records beside it.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools

from keras_port.checkpoints.tf1_graph.nodes import Node
from keras_port.checkpoints.tf1_graph.nodes import Scope
from keras_port.checkpoints.tf1_graph.nodes import operation

SWITCHES = ("Switch", "RefSwitch")
ENTERS = ("Enter", "RefEnter")
# Operations that only say in which branch or loop something is.
STRUCTURE = (*SWITCHES, *ENTERS, "Merge", "NextIteration", "LoopCond")


@dataclasses.dataclass(frozen=True)
class Condition:
    """What one `Merge` chooses between.

    Args:
        predicate: Key of the tensor that chooses.
        cuts: For False and for True, what a tensor of the branch is outside.
        nodes: Names of the operations in the two branches.
    """

    predicate: str
    cuts: tuple[dict[str, str], dict[str, str]]
    nodes: frozenset[str]

    def needs(self) -> Iterator[str]:
        """Yields the keys that must be there before the condition."""
        yield self.predicate
        for cut in self.cuts:
            yield from cut.values()


@dataclasses.dataclass(frozen=True)
class LoopVariable:
    """One value that a loop carries, by its operations."""

    enter: Node
    merge: Node
    switch: Node | None
    exits: tuple[str, ...]
    update: str


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop.

    Args:
        condition: Key of the tensor that says whether it goes on.
        variables: What it carries.
        constants: What is the same in each round: its key inside, outside.
        parallel: Rounds that may run at the same time.
        nodes: Names of the operations inside.
    """

    condition: str
    variables: tuple[LoopVariable, ...]
    constants: dict[str, str]
    parallel: int
    nodes: frozenset[str]

    def needs(self) -> Iterator[str]:
        """Yields the keys that must be there before the loop."""
        for variable in self.variables:
            yield variable.enter.inputs[0]
            yield from (f"^{name}" for name in variable.enter.controls)
        yield from self.constants.values()


class ControlFlow:
    """Tells which condition or loop an operation is the end of.

    Args:
        scope: The graph or function.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._conditions: dict[str, Condition | None] = {}
        self._loops: dict[str, Loop] = {}

    @functools.cached_property
    def frames(self) -> dict[str, list[Node]]:
        """Returns the `Enter` operations of each loop, by its name."""
        frames: dict[str, list[Node]] = {}
        for node in self.scope.nodes.values():
            if node.op in ENTERS:
                frame = node.proto.attr["frame_name"].s.decode("latin-1")
                frames.setdefault(frame, []).append(node)
        return frames

    @functools.cached_property
    def readers(self) -> dict[str, list[Node]]:
        """Returns which operations take each tensor."""
        readers: dict[str, list[Node]] = {}
        for node in self.scope.nodes.values():
            for key in node.inputs:
                readers.setdefault(key, []).append(node)
        return readers

    @functools.cached_property
    def loop_merges(self) -> frozenset[str]:
        """Returns the names of those `Merge` that a loop begins with."""
        return frozenset(
            node.name
            for node in self.scope.nodes.values()
            if node.op == "Merge"
            and any(
                self.scope.node(key).op == "NextIteration"
                for key in node.inputs
                if operation(key) in self.scope.nodes
            )
        )

    @functools.cached_property
    def frame_of_exit(self) -> dict[str, str]:
        """Returns the loop that each `Exit` is of."""
        return {
            name: frame
            for frame in self.frames
            for variable in self.carried(frame)
            for name in variable.exits
        }

    def carried(self, frame: str) -> list[LoopVariable]:
        """Returns the values that a loop carries."""
        found = []
        for enter in self.frames[frame]:
            for merge in self.readers.get(f"{enter.name}:0", ()):
                if merge.name in self.loop_merges:
                    found.append(self.loop_variable(enter, merge))
        return found

    def loop_variable(self, enter: Node, merge: Node) -> LoopVariable:
        """Returns the operations of one value, from where it enters."""
        update = next(
            node
            for node in map(self.scope.node, merge.inputs)
            if node.op == "NextIteration"
        )
        switches = [
            node
            for node in self.readers.get(f"{merge.name}:0", ())
            if node.op == "Switch" and node.inputs[:1] == (f"{merge.name}:0",)
        ]
        exits = [
            node.name
            for switch in switches
            for node in self.readers.get(f"{switch.name}:0", ())
            if node.op == "Exit"
        ]
        return LoopVariable(
            enter,
            merge,
            switches[0] if switches else None,
            tuple(exits),
            first_input(update),
        )

    def loop(self, frame: str) -> Loop:
        """Returns one loop."""
        if frame not in self._loops:
            self._loops[frame] = self.complete(frame)
        return self._loops[frame]

    def complete(self, frame: str) -> Loop:
        """Puts a loop together."""
        variables = self.carried(frame)
        tests = [one.switch for one in variables if one.switch is not None]
        condition = self.scope.node(tests[0].inputs[1]) if tests else None
        if condition is None or condition.op != "LoopCond":
            raise ValueError(f"The graph is broken: the loop {frame!r} is cut.")
        carried = {one.enter.name for one in variables}
        enters = self.frames[frame]
        starts = [*(one.update for one in variables), first_input(condition)]
        return Loop(
            first_input(condition),
            tuple(variables),
            {
                f"{node.name}:0": first_input(node)
                for node in enters
                if node.name not in carried
            },
            max(1, int(enters[0].proto.attr["parallel_iterations"].i or 10)),
            self.inside(starts, {node.name for node in enters}),
        )

    def inside(self, starts: Iterable[str], enters: set[str]) -> frozenset[str]:
        """Returns the operations of a loop, walking back to where it began."""
        seen: set[str] = set()
        stack = [operation(key) for key in starts]
        while stack:
            name = stack.pop()
            if name in seen or name in enters or name not in self.scope.nodes:
                continue
            seen.add(name)
            node = self.scope.nodes[name]
            stack += [operation(key) for key in node.inputs]
            stack += node.controls
        return frozenset(seen)

    def is_end(self, node: Node) -> bool:
        """Tells whether a node is the end of a condition."""
        return node.op == "Merge" and node.name not in self.loop_merges

    def condition(self, merge: Node) -> Condition:
        """Returns what a `Merge` that ends a condition chooses between."""
        if merge.name in self._conditions:
            found = self._conditions[merge.name]
        else:
            self._conditions[merge.name] = None
            found = self._conditions[merge.name] = self.walk(merge)
        if found is None:
            raise ValueError(
                f"The graph is broken: the condition that ends at "
                f"{merge.name!r} contains itself{self.scope.where()}."
            )
        return found

    def walk(self, merge: Node) -> Condition:
        """Walks back from a `Merge` to the operations that open it."""
        if len(merge.inputs) != 2:
            raise ValueError(
                f"The operation {merge.name!r} joins {len(merge.inputs)} "
                "branches; a condition of TensorFlow 1 has two."
            )
        cuts: tuple[dict[str, str], dict[str, str]] = ({}, {})
        predicates: set[str] = set()
        inside: set[str] = {merge.name}
        for branch, cut in enumerate(cuts):
            for switch in self.openings(merge.inputs[branch], inside):
                cut[f"{switch.name}:{branch}"] = switch.inputs[0]
                predicates.add(self.predicate(switch))
        if len(predicates) != 1:
            raise ValueError(
                f"The condition that ends at {merge.name!r} is decided by "
                f"{sorted(predicates) or 'nothing'}; expected one tensor"
                f"{self.scope.where()}."
            )
        return Condition(predicates.pop(), cuts, frozenset(inside))

    def predicate(self, switch: Node) -> str:
        """Returns the tensor that decides, the same one for a condition.

        TensorFlow makes a copy of it for each condition, called `pred_id`,
        and takes the original only for the `Switch` that marks the branches.
        """
        key = switch.inputs[1]
        if switch.inputs[0] == key:
            scope = switch.name.rpartition("/")[0]
            copy = self.scope.nodes.get(f"{scope}/pred_id")
            if copy is not None and copy.inputs == (key,):
                return f"{copy.name}:0"
        return key

    def openings(self, start: str, inside: set[str]) -> list[Node]:
        """Returns the `Switch` operations that lead to a tensor."""
        found, seen, stack = [], set(), [operation(start)]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self.scope.nodes.get(name)
            if node is None:
                # An argument of a function: it was there before.
                continue
            if node.op in SWITCHES:
                if len(node.inputs) != 2:
                    raise ValueError(f"The graph is broken at {name!r}.")
                found.append(node)
            elif self.is_end(node):
                inner = self.condition(node)
                inside |= inner.nodes
                stack += map(operation, inner.needs())
            elif node.op == "Exit" and name in self.frame_of_exit:
                loop = self.loop(self.frame_of_exit[name])
                inside |= loop.nodes
                stack += map(operation, loop.needs())
            elif node.op not in STRUCTURE:
                inside.add(name)
                stack += [operation(key) for key in node.inputs]
                stack += node.controls
        return found


def first_input(node: Node) -> str:
    """Returns the key of the first input."""
    if not node.inputs:
        raise ValueError(f"The graph is broken: {node.name!r} takes nothing.")
    return node.inputs[0]
