"""Guesses which tensors of a graph are its predictions."""

from collections.abc import Container
from collections.abc import Mapping
import re

from keras_port.tf1.graph.read import GraphFile
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations

# Scopes that TensorFlow 1 made for training and for files.
INTERNAL_SCOPES = re.compile(
    r"(gradients|save|init|report_uninitialized_variables)(_\d+)?"
)
# What a loss does before it reads the labels, as in `log(y + 1e-9)`.
BEFORE_LABELS = ("Log", "Log1p", "Neg", "Maximum", "Minimum", "Add", "AddV2")
CALLS = ("While", "StatelessWhile", "If", "StatelessIf", "Case")
NOT_VALUES = (*operations.WRITERS, *operations.STRUCTURE, *CALLS, "Exit")
MAX_OUTPUTS = 20
# Placeholders that are told apart. No model has as many.
MAX_DATA = 1000


def guess_outputs(source: GraphFile) -> list[str]:
    """Returns the keys of the tensors that are likely predictions.

    If the file has signatures, these are their outputs. Otherwise they are
    computed from data and variables, and are either read by nothing, or only
    by operations that need another placeholder too: those compute a loss.
    """
    scope = source.scope
    signed = [
        key
        for signature in source.signatures.values()
        for keys in signature.outputs.values()
        for key in keys
    ]
    if signed:
        return sorted(set(signed))
    data, learned = find_origins(scope)
    readers: dict[str, list[str]] = {}
    for node in scope.nodes.values():
        if not is_internal(node):
            for key in node.inputs:
                readers.setdefault(operation_name(key), []).append(node.name)
    found = [
        skip_loss(node, scope, data, learned)
        for name, node in scope.nodes.items()
        if name in learned
        and data[name]
        and may_be_prediction(node, scope)
        and all(
            needs_more(data[one], data[name]) for one in readers.get(name, [])
        )
    ]
    most = max((bits.bit_count() for bits in data.values()), default=0)
    ends = [name for name in found if data[name].bit_count() < most]
    return [f"{name}:0" for name in dict.fromkeys(ends or found)][:MAX_OUTPUTS]


def skip_loss(
    node: Node,
    scope: Scope,
    data: Mapping[str, int],
    learned: Container[str],
) -> str:
    """Returns the operation whose value a loss starts from."""
    while node.op in BEFORE_LABELS:
        sources = list(dict.fromkeys(map(operation_name, node.inputs)))
        moving = [one for one in sources if one in learned]
        if len(moving) != 1 or data[moving[0]] != data[node.name]:
            break
        node = scope.nodes[moving[0]]
    return node.name


def is_internal(node: Node) -> bool:
    """Returns whether TensorFlow made an operation for training or files."""
    return any(INTERNAL_SCOPES.fullmatch(part) for part in node.name.split("/"))


def may_be_prediction(node: Node, scope: Scope) -> bool:
    """Returns whether an operation is of a kind that computes predictions."""
    if is_internal(node) or node.op in NOT_VALUES:
        return False
    if "Apply" in node.op or "Summary" in node.op or node.op == "Assert":
        return False
    # TensorFlow copies every result of a loop.
    return node.op != "Identity" or scope.node(node.inputs[0]).op not in CALLS


def needs_more(bits: int, others: int) -> bool:
    """Returns whether data are those of another operation, and more."""
    return bits != others and not others & ~bits


def find_origins(scope: Scope) -> tuple[dict[str, int], set[str]]:
    """Returns the data that every operation needs, and which ones learn.

    Data are placeholders with axes. One without axes, such as the rate of
    dropout, is a setting and does not count.

    Returns:
        The placeholders, by operation, one bit for each; and the names of the
        operations that are computed from variables.
    """
    names = [name for name, node in scope.nodes.items() if is_data(node)]
    data = dict.fromkeys(scope.nodes, 0)
    for number, name in enumerate(names[:MAX_DATA]):
        data[name] = 1 << number
    learned = {
        name
        for name, node in scope.nodes.items()
        if node.op in operations.VARIABLES
    }
    order = sort_operations(scope)
    # One pass is enough without loops; a loop inside a loop needs three.
    for _ in range(4):
        before = (dict(data), len(learned))
        for name in order:
            sources = [
                operation_name(key)
                for key in scope.nodes[name].inputs
                if operation_name(key) in scope.nodes
            ]
            for one in sources:
                data[name] |= data[one]
            if not learned.isdisjoint(sources):
                learned.add(name)
        if (data, len(learned)) == before:
            break
    return data, learned


def is_data(node: Node) -> bool:
    """Returns whether an operation is a placeholder with axes."""
    shape = node.proto.attr["shape"].shape
    return node.op in operations.PLACEHOLDERS and bool(shape.dim)


def sort_operations(scope: Scope) -> list[str]:
    """Returns the operations, every one after its inputs, except in loops."""
    order: list[str] = []
    is_done: dict[str, bool] = {}
    for start in scope.nodes:
        stack = [start]
        while stack:
            name = stack[-1]
            if name not in is_done:
                is_done[name] = False
                stack += [
                    operation_name(key)
                    for key in scope.nodes[name].inputs
                    if operation_name(key) in scope.nodes
                    and operation_name(key) not in is_done
                ]
                continue
            stack.pop()
            if not is_done[name]:
                is_done[name] = True
                order.append(name)
    return order
