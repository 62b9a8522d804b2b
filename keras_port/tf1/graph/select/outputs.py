"""Guesses which tensors of a graph are its predictions."""

from collections import Counter
from collections.abc import Iterator
import re

from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.select.origins import SIZES
from keras_port.tf1.graph.select.origins import Origins
from keras_port.tf1.graph.select.origins import find_origins

# Scopes that TensorFlow 1 made for training and for files.
INTERNAL_SCOPES = re.compile(
    r"(gradients|save|init|report_uninitialized_variables)(_\d+)?"
)
# Scopes of loops and conditions, whose insides no layer can return.
INNER_SCOPES = re.compile(r"(while|cond)(_\d+)?")
# Losses and metrics, and which input of theirs is a prediction.
LOSS_INPUTS = {
    "SoftmaxCrossEntropyWithLogits": 0,
    "SparseSoftmaxCrossEntropyWithLogits": 0,
    "CTCLoss": 0,
    "CTCLossV2": 0,
    "InTopK": 0,
    "InTopKV2": 0,
}
# They compare a prediction with data.
COMPARISONS = ("Sub", "SquaredDifference", "Mul")
# What people call a prediction.
NAMES = re.compile(
    r"(\w*_)?(logits?|logistic|outputs?|out|pred(s|ict|iction|ictions)?|"
    r"prob(s|abilities|ability)?|scores?|softmax|result|y_hat|y_conv)(_\d+)?",
    re.IGNORECASE,
)
GRADIENT_SCOPES = re.compile(r"gradients(_\d+)?")
# As many networks of one form are listed among the first.
MAX_COPIES = 2
# What makes a prediction of the last layer.
HEADS = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopKV2", "TopK")
# They change the form of a tensor, not what it means.
COPIES = ("Identity", "Reshape", "Cast", "Squeeze", "StopGradient")
# What a loss does before it reads the labels, as in `log(y + 1e-9)`.
BEFORE_LABELS = ("Log", "Log1p", "Neg", "Maximum", "Minimum", "Add", "AddV2")
CALLS = ("While", "StatelessWhile", "If", "StatelessIf", "Case")
NOT_VALUES = (
    *operations.WRITERS,
    *operations.STRUCTURE,
    *CALLS,
    *operations.VARIABLES,
    "Assert",
    "Const",
    "ReadVariableOp",
    *SIZES,
)


def guess_outputs(source: GraphFile) -> list[str]:
    """Returns the keys of the tensors that are likely predictions.

    If the file has signatures, these are their outputs. Otherwise they are
    computed from data and weights, and are what a loss or a metric reads, a
    softmax and what it reads, a copy with a name of its own, or what nothing
    reads. What is nearest to a loss comes first.
    """
    signed = [
        key
        for signature in source.signatures.values()
        for keys in signature.outputs.values()
        for key in keys
    ]
    if signed:
        return sorted(set(signed))
    return [f"{name}:0" for name in Guess(source).list_names()]


class Guess:
    """Ranks the operations of a graph that may be predictions.

    Args:
        source: The graph.
    """

    def __init__(self, source: GraphFile) -> None:
        self.scope: Scope = source.scope
        self.origins: Origins = find_origins(source)
        self.readers = self.origins.readers
        self._gradients = self._find_gradients()
        self._later = self._find_later_weights()
        # A graph may have neither, such as a fixed formula.
        self._needs_weights = any(self.origins.weights.values())
        self._needs_data = any(self.origins.data.values())

    def list_names(self) -> list[str]:
        """Returns the names of the likely predictions, the best one first."""
        ranks: dict[str, int] = {}
        for name, rank in self._find():
            if self._is_prediction(name):
                ranks[name] = min(rank, ranks.get(name, rank))
        order = {name: number for number, name in enumerate(self.scope.nodes)}
        seen: Counter[str] = Counter()
        keys = {}
        for name in sorted(ranks, key=order.__getitem__):
            # The copies of a network, such as those of many workers, come last.
            pattern = re.sub(r"\d+", "#", name)
            keys[name] = seen[pattern] > MAX_COPIES, ranks[name], order[name]
            seen[pattern] += 1
        return sorted(keys, key=keys.__getitem__)

    def _find(self) -> Iterator[tuple[str, int]]:
        """Yields operations and their ranks, in any order."""
        for node in self.scope.nodes.values():
            if is_internal(node) or node.name in self._gradients:
                continue
            for key in self._list_loss_inputs(node):
                for name in self._list_copies(key):
                    yield name, 0
                    for one in self.readers.get(name, ()):
                        if self.scope.nodes[one].op in HEADS[:3]:
                            yield one, 0
            if not self._is_prediction(node.name):
                continue
            is_last = not self._later[node.name]
            after = self._list_readers(node.name)
            if is_last and NAMES.fullmatch(node.name.rpartition("/")[2]):
                yield node.name, 0
            if all(self._needs_more(one, node.name) for one in after):
                yield self._skip_loss(node), 1 if after else 4
            if node.op in HEADS and is_last:
                yield node.name, 2
                for name in self._list_copies(node.inputs[0]):
                    yield name, 2
            if node.op == "Identity" and "/" not in node.name:
                yield node.name, 3

    def _list_loss_inputs(self, node: Node) -> Iterator[str]:
        """Yields the inputs of a loss or a metric that are predictions."""
        number = LOSS_INPUTS.get(node.op)
        if number is not None:
            yield from node.inputs[number : number + 1]
        is_comparison = node.op in COMPARISONS and len(node.inputs) == 2
        if is_comparison and not self._later[node.name]:
            for key, other in (node.inputs, node.inputs[::-1]):
                name, label = operation_name(key), operation_name(other)
                if (
                    name in self.scope.nodes
                    and self.origins.data.get(label)
                    and not self.origins.weights[label]
                ):
                    yield f"{self._skip_loss(self.scope.nodes[name])}:0"

    def _list_copies(self, key: str) -> Iterator[str]:
        """Yields an operation, and those that it only copies."""
        for _ in range(10):
            name = operation_name(key)
            if name not in self.scope.nodes:
                return
            yield name
            node = self.scope.nodes[name]
            if node.op not in COPIES or not node.inputs:
                return
            key = node.inputs[0]

    def _is_prediction(self, name: str) -> bool:
        """Returns whether an operation may be a prediction."""
        node = self.scope.nodes[name]
        return (
            may_be_prediction(node, self.scope)
            and name not in self._gradients
            and (bool(self.origins.data[name]) or not self._needs_data)
            and (bool(self.origins.weights[name]) or not self._needs_weights)
        )

    def _list_readers(self, name: str) -> list[str]:
        """Returns the operations of the model that read an operation."""
        return [
            one
            for one in self.readers.get(name, ())
            if one not in self._gradients
            and not is_internal(self.scope.nodes[one])
            and "Summary" not in self.scope.nodes[one].op
            and self.scope.nodes[one].op not in SIZES
        ]

    def _needs_more(self, name: str, other: str) -> bool:
        """Returns whether an operation needs the data of another, and more."""
        own, others = self.origins.data[name], self.origins.data[other]
        return own != others and not others & ~own

    def _find_gradients(self) -> set[str]:
        """Returns the names of the operations that gradients lead to."""
        found: set[str] = set()
        for name in self.origins.order:
            sources = map(operation_name, self.scope.nodes[name].inputs)
            # The gradient of a loop adds empty lists to the loop itself.
            if any(
                GRADIENT_SCOPES.fullmatch(part) for part in name.split("/")
            ) or any(o in found and self.origins.data[o] for o in sources):
                found.add(name)
        return found

    def _find_later_weights(self) -> dict[str, int]:
        """Returns the weights that are used after every operation only.

        If there are any, the operation is inside of a network. An attention is
        such a softmax, and a gate of an LSTM such a sigmoid. What needs other
        data too is a loss, and does not count.
        """
        weights = self.origins.weights
        later = dict.fromkeys(self.scope.nodes, 0)
        for name in reversed(self.origins.order):
            for one in self._list_readers(name):
                if not self._needs_more(one, name):
                    later[name] |= weights[one] | later[one]
        return {name: later[name] & ~weights[name] for name in later}

    def _skip_loss(self, node: Node) -> str:
        """Returns the operation whose value a loss starts from."""
        while node.op in BEFORE_LABELS:
            sources = list(dict.fromkeys(map(operation_name, node.inputs)))
            moving = [one for one in sources if self.origins.weights.get(one)]
            if len(moving) != 1:
                break
            before = moving[0]
            if self.origins.data[before] != self.origins.data[node.name]:
                break
            node = self.scope.nodes[before]
        return node.name


def is_internal(node: Node) -> bool:
    """Returns whether TensorFlow made an operation for training or files."""
    return any(INTERNAL_SCOPES.fullmatch(part) for part in node.name.split("/"))


def may_be_prediction(node: Node, scope: Scope) -> bool:
    """Returns whether an operation is of a kind that computes predictions."""
    if is_internal(node) or node.op in NOT_VALUES:
        return False
    if "Apply" in node.op or "Summary" in node.op:
        return False
    if any(INNER_SCOPES.fullmatch(part) for part in node.name.split("/")[:-1]):
        return node.op == "Merge"
    if node.op != "Identity" or not node.inputs:
        return True
    # TensorFlow copies every variable, and every result of a loop.
    source = scope.nodes.get(operation_name(node.inputs[0]))
    return source is None or source.op not in (*CALLS, *operations.VARIABLES)
