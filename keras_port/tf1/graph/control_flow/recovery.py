"""Finds the conditions and loops of TensorFlow 1's first control flow.

A condition is `Switch` on the way in and `Merge` on the way out, a loop
`Enter`, `Merge`, `Switch`, `NextIteration` and `Exit`. Both are recognised by
these operations alone, so that a graph needs no records beside it.
"""

from keras_port.tf1.graph.control_flow.loop_structure import Loops
from keras_port.tf1.graph.control_flow.structures import Condition
from keras_port.tf1.graph.read import STRUCTURE
from keras_port.tf1.graph.read import SWITCHES
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation


class ControlFlow(Loops):
    """Tells which condition or loop an operation is the end of.

    Args:
        scope: The graph or function.
    """

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._conditions: dict[str, Condition | None] = {}

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
