"""Finds the loops of TensorFlow 1's first control flow.

A loop is `Enter`, `Merge`, `Switch`, `NextIteration` and `Exit`.
"""

from collections.abc import Iterable
import functools

from keras_port.tf1.graph.control_flow.structures import Loop
from keras_port.tf1.graph.control_flow.structures import LoopVariable
from keras_port.tf1.graph.read import ENTERS
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation


class Loops:
    """Tells which loop an operation is the end of.

    Args:
        scope: The graph or function.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
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


def first_input(node: Node) -> str:
    """Returns the key of the first input."""
    if not node.inputs:
        raise ValueError(f"The graph is broken: {node.name!r} takes nothing.")
    return node.inputs[0]
