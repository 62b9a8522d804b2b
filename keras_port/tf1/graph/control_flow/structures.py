"""What a condition or a loop of the first control flow is made of."""

from collections.abc import Iterator
import dataclasses

from keras_port.tf1.graph.read import Node


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
