"""Finds the conditions and loops of TensorFlow 1's first control flow.

A condition starts with `Switch` and ends with `Merge`. A loop consists of
`Enter`, `Merge`, `Switch`, `NextIteration` and `Exit`. These operations are
enough to recognize both: no records in the file are needed.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations

# What TensorFlow calls the copies of the predicate that mark the branches.
MARKS = ("switch_f", "switch_t")


@dataclasses.dataclass(frozen=True)
class Condition:
    """What one `Merge` chooses between.

    Args:
        predicate: Key of the tensor that chooses.
        cuts: For False and for True, the keys at which the branch starts, and
            the key outside of the condition that each one stands for.
        nodes: Names of the operations in the two branches.
    """

    predicate: str
    cuts: tuple[dict[str, str], dict[str, str]]
    nodes: frozenset[str]

    def needs(self) -> Iterator[str]:
        """Yields the keys that must have a value before the condition."""
        yield self.predicate
        for cut in self.cuts:
            yield from cut.values()


@dataclasses.dataclass(frozen=True)
class LoopVariable:
    """A value that a loop carries.

    Args:
        enter: The operation through which it enters the loop.
        merge: The operation that starts a round with it.
        switch: The operation that ends the loop or continues it.
        exits: Names of the operations through which it leaves the loop.
        update: Key of its value after a round.
    """

    enter: Node
    merge: Node
    switch: Node | None
    exits: tuple[str, ...]
    update: str


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop.

    Args:
        condition: Key of the tensor that says whether the loop continues.
        variables: The values that it carries.
        constants: For every key inside that is the same in every round, its
            key outside.
        parallel: Number of rounds that may run at the same time.
        nodes: Names of the operations inside.
    """

    condition: str
    variables: tuple[LoopVariable, ...]
    constants: dict[str, str]
    parallel: int
    nodes: frozenset[str]

    def needs(self) -> Iterator[str]:
        """Yields the keys that must have a value before the loop."""
        for variable in self.variables:
            yield variable.enter.inputs[0]
            yield from (f"^{name}" for name in variable.enter.controls)
        yield from self.constants.values()


class Loops:
    """Finds the loops of a scope. A loop goes by the name of its frame.

    Args:
        scope: The graph or function.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._loops: dict[str, Loop] = {}

    @functools.cached_property
    def frames(self) -> dict[str, list[Node]]:
        """The `Enter` operations of every loop, by its name."""
        frames: dict[str, list[Node]] = {}
        for node in self.scope.nodes.values():
            if node.op in operations.ENTERS:
                frame = node.proto.attr["frame_name"].s.decode("latin-1")
                frames.setdefault(frame, []).append(node)
        return frames

    @functools.cached_property
    def readers(self) -> dict[str, list[Node]]:
        """The operations that read every tensor."""
        readers: dict[str, list[Node]] = {}
        for node in self.scope.nodes.values():
            for key in node.inputs:
                readers.setdefault(key, []).append(node)
        return readers

    @functools.cached_property
    def merges(self) -> frozenset[str]:
        """The names of the `Merge` operations that start a round."""
        return frozenset(
            node.name
            for node in self.scope.nodes.values()
            if node.op == "Merge"
            and any(
                self.scope.node(key).op == "NextIteration"
                for key in node.inputs
                if operation_name(key) in self.scope.nodes
            )
        )

    @functools.cached_property
    def frame_of_exit(self) -> dict[str, str]:
        """The loop of every `Exit` operation."""
        return {
            name: frame
            for frame in self.frames
            for variable in self._find_variables(frame)
            for name in variable.exits
        }

    def get(self, frame: str) -> Loop:
        """Returns one loop."""
        if frame not in self._loops:
            self._loops[frame] = self._build_loop(frame)
        return self._loops[frame]

    def _find_variables(self, frame: str) -> list[LoopVariable]:
        """Returns the values that a loop carries."""
        return [
            self._build_variable(enter, merge)
            for enter in self.frames[frame]
            for merge in self.readers.get(f"{enter.name}:0", ())
            if merge.name in self.merges
        ]

    def _build_variable(self, enter: Node, merge: Node) -> LoopVariable:
        """Returns a value that a loop carries, from where it enters."""
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
            get_first_input(update),
        )

    def _build_loop(self, frame: str) -> Loop:
        """Returns a loop, from its `Enter` operations."""
        variables = self._find_variables(frame)
        tests = [one.switch for one in variables if one.switch is not None]
        condition = self.scope.node(tests[0].inputs[1]) if tests else None
        if condition is None or condition.op != "LoopCond":
            raise ValueError(
                f"The graph is broken: the loop {frame!r} has no operation of "
                f"type LoopCond that ends it{self.scope.where()}."
            )
        carried = {one.enter.name for one in variables}
        enters = self.frames[frame]
        ends = [*(one.update for one in variables), get_first_input(condition)]
        return Loop(
            get_first_input(condition),
            tuple(variables),
            {
                f"{node.name}:0": get_first_input(node)
                for node in enters
                if node.name not in carried
            },
            max(1, int(enters[0].proto.attr["parallel_iterations"].i or 10)),
            self._find_nodes(ends, {node.name for node in enters}),
        )

    def _find_nodes(
        self, ends: Iterable[str], enters: set[str]
    ) -> frozenset[str]:
        """Returns the operations of a loop, from its ends to its starts."""
        seen: set[str] = set()
        stack = [operation_name(key) for key in ends]
        while stack:
            name = stack.pop()
            if name in seen or name in enters or name not in self.scope.nodes:
                continue
            seen.add(name)
            node = self.scope.nodes[name]
            stack += [operation_name(key) for key in node.inputs]
            stack += node.controls
        return frozenset(seen)


class ControlFlow:
    """Finds the conditions and loops of a scope.

    Args:
        scope: The graph or function.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.loops = Loops(scope)
        self._conditions: dict[str, Condition | None] = {}

    def ends_condition(self, node: Node) -> bool:
        """Returns whether an operation is the end of a condition."""
        return node.op == "Merge" and node.name not in self.loops.merges

    def get_condition(self, merge: Node) -> Condition:
        """Returns the condition that a `Merge` ends."""
        if merge.name in self._conditions:
            found = self._conditions[merge.name]
        else:
            self._conditions[merge.name] = None
            found = self._conditions[merge.name] = self._build_condition(merge)
        if found is None:
            raise ValueError(
                "The graph is broken: the condition that ends at "
                f"{merge.name!r} contains itself{self.scope.where()}."
            )
        return found

    def _build_condition(self, merge: Node) -> Condition:
        """Returns a condition, from its end to the operations that start it."""
        if len(merge.inputs) != 2:
            raise ValueError(
                f"The operation {merge.name!r} joins {len(merge.inputs)} "
                "branches; a condition of TensorFlow 1 has two."
            )
        cuts: tuple[dict[str, str], dict[str, str]] = ({}, {})
        predicates: set[str] = set()
        inside: set[str] = {merge.name}
        for branch, cut in enumerate(cuts):
            for switch in self._find_switches(merge.inputs[branch], inside):
                predicate = self._get_predicate(switch)
                predicates.add(predicate)
                outside = self._find_outside(switch, predicate)
                cut[f"{switch.name}:{branch}"] = outside
        if len(predicates) != 1:
            raise ValueError(
                f"The condition that ends at {merge.name!r} is decided by "
                f"{sorted(predicates) or 'nothing'}; expected one tensor"
                f"{self.scope.where()}."
            )
        return Condition(predicates.pop(), cuts, frozenset(inside))

    def _get_predicate(self, switch: Node) -> str:
        """Returns the tensor that decides, one per condition.

        TensorFlow makes a copy of it for every condition, called `pred_id`. It
        uses the original only for the `Switch` that marks the branches. If that
        is a variable, the two are different tensors.
        """
        for number, mark in enumerate(MARKS):
            for reader in self.loops.readers.get(f"{switch.name}:{number}", ()):
                scope, _, name = reader.name.rpartition("/")
                copy = f"{scope}/pred_id"
                if name == mark and copy in self.scope.nodes:
                    return f"{copy}:0"
        return switch.inputs[1]

    def _find_outside(self, switch: Node, predicate: str) -> str:
        """Returns the tensor outside of a condition that a `Switch` passes.

        Where a branch only returns a tensor from outside, TensorFlow before 1.2
        wrote two operations of the same predicate, one after the other.
        """
        key, seen = switch.inputs[0], {switch.name}
        while True:
            before = self.scope.nodes.get(operation_name(key))
            if (
                before is None
                or before.name in seen
                or before.op not in operations.SWITCHES
                or len(before.inputs) != 2
                or self._get_predicate(before) != predicate
            ):
                return key
            seen.add(before.name)
            key = before.inputs[0]

    def _find_switches(self, end: str, inside: set[str]) -> list[Node]:
        """Returns the `Switch` operations that a branch starts with.

        Args:
            end: Key of the tensor that the branch ends with.
            inside: The names of the operations in the branch are added to it.
        """
        found, seen, stack = [], set(), [operation_name(end)]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self.scope.nodes.get(name)
            if node is None:
                # An argument of a function, which has a value already.
                continue
            if node.op in operations.SWITCHES:
                if len(node.inputs) != 2:
                    raise ValueError(
                        f"The graph is broken: the operation {name!r} of type "
                        f"{node.op} must have 2 inputs{self.scope.where()}. "
                        f"Received: {len(node.inputs)} inputs."
                    )
                found.append(node)
            elif self.ends_condition(node):
                inner = self.get_condition(node)
                inside |= inner.nodes
                stack += map(operation_name, inner.needs())
            elif node.op == "Exit" and name in self.loops.frame_of_exit:
                loop = self.loops.get(self.loops.frame_of_exit[name])
                inside |= loop.nodes
                stack += map(operation_name, loop.needs())
            elif node.op not in operations.STRUCTURE:
                inside.add(name)
                stack += [operation_name(key) for key in node.inputs]
                stack += node.controls
        return found


def get_first_input(node: Node) -> str:
    """Returns the key of the first input."""
    if not node.inputs:
        raise ValueError(
            f"The graph is broken: the operation {node.name!r} of type "
            f"{node.op} must have an input."
        )
    return node.inputs[0]
