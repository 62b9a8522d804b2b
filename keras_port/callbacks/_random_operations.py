"""Random numbers that do not continue after an interruption."""

from typing import Any
import warnings

# `tf.random.normal` and its like give their operations this attribute.
ATTRIBUTE = "seed2"


class RandomOperationsWarning:
    """Warns if a training draws random numbers that no snapshot can continue.

    `tf.random.normal` and its like keep their state in the operation, where
    nothing can read it.

    Args:
        function: What trains on the next batches. If it is not traced, nothing
            is found.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._calls = 0

    def __call__(self, iterator: Any) -> None:
        """Looks at the function before its second call: the first traces it.

        Args:
            iterator: The batches. Nothing is read.
        """
        self._calls += 1
        if self._calls != 2:
            return
        names = find_random_operations(self._function, iterator)
        if names:
            warnings.warn(
                f"The training draws random numbers in `{names[0]}`, and a "
                "training that is interrupted continues with other ones: "
                "`tf.random.normal` and its like keep their state where no "
                "snapshot can read it. Draw with `keras.random` or with a "
                "`tf.random.Generator` instead.",
                stacklevel=2,
            )


def find_random_operations(function: Any, iterator: Any) -> list[str]:
    """Returns the names of the operations that draw from a state of theirs.

    Args:
        function: A `tf.function` or another function.
        iterator: Its argument.
    """
    get_concrete_function = getattr(function, "get_concrete_function", None)
    traced = get_concrete_function and get_concrete_function(iterator)
    if traced is None:
        return []
    graph = traced.graph.as_graph_def()
    nodes = [
        *graph.node,
        *(n for f in graph.library.function for n in f.node_def),
    ]
    return [node.name for node in nodes if ATTRIBUTE in node.attr]
