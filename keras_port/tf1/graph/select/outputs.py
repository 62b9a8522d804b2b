"""Guesses which tensors of a graph are its predictions."""

from collections.abc import Container
from collections.abc import Mapping
import re
from typing import Any

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1.graph.read import PLACEHOLDERS
from keras_port.tf1.graph.read import STRUCTURE
from keras_port.tf1.graph.read import WRITER_OPS
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation
from keras_port.tf1.graph.read import tensor_key

MetaGraphDef = Any
# Scopes that TensorFlow 1 itself made for the training and for files.
SERVICE = re.compile(
    r"(gradients|save|init|report_uninitialized_variables)(_\d+)?"
)
# What of a loss comes before the labels do, as in the logarithm of `y + 1e-9`.
BEFORE_LABELS = ("Log", "Log1p", "Neg", "Maximum", "Minimum", "Add", "AddV2")
CALLS = ("While", "StatelessWhile", "If", "StatelessIf", "Case")
MAX_SHOWN = 20


def likely_outputs(meta: MetaGraphDef, scope: Scope) -> list[str]:
    """Returns the keys of what is likely to be a prediction.

    That is what a signature says; else what is computed from data and
    variables, and either goes nowhere, or into something that needs another
    placeholder as well: what comes then is a loss.
    """
    signed = [
        tensor_key(info.name)
        for signature in meta.signature_def.values()
        for info in signature.outputs.values()
        if operation(tensor_key(info.name)) in scope.nodes
    ]
    if signed:
        return sorted(set(signed))
    data, learned = origins(scope)
    readers: dict[str, list[str]] = {}
    for node in scope.nodes.values():
        if not is_service(node):
            for key in node.inputs:
                readers.setdefault(operation(key), []).append(node.name)
    found = [
        before_labels(node, scope, data, learned)
        for name, node in scope.nodes.items()
        if name in learned
        and data[name]
        and is_value(node, scope)
        and all(data[one] > data[name] for one in readers.get(name, []))
    ]
    most = max((len(names) for names in data.values()), default=0)
    ends = [name for name in found if len(data[name]) < most]
    return [f"{name}:0" for name in dict.fromkeys(ends or found)][:MAX_SHOWN]


def before_labels(
    node: Node,
    scope: Scope,
    data: Mapping[str, frozenset[str]],
    learned: Container[str],
) -> str:
    """Returns the operation whose value a loss begins to work on."""
    while node.op in BEFORE_LABELS:
        sources = list(dict.fromkeys(map(operation, node.inputs)))
        moving = [one for one in sources if one in learned]
        if len(moving) != 1 or data[moving[0]] != data[node.name]:
            break
        node = scope.nodes[moving[0]]
    return node.name


def is_service(node: Node) -> bool:
    """Tells whether TensorFlow made an operation for training or for files."""
    return any(SERVICE.fullmatch(part) for part in node.name.split("/"))


def is_value(node: Node, scope: Scope) -> bool:
    """Tells whether an operation may give a prediction."""
    if is_service(node) or node.op in (*WRITER_OPS, *STRUCTURE, *CALLS, "Exit"):
        return False
    if "Apply" in node.op or "Summary" in node.op or node.op == "Assert":
        return False
    # The copies that TensorFlow makes of all results of a loop.
    return node.op != "Identity" or scope.node(node.inputs[0]).op not in CALLS


def origins(scope: Scope) -> tuple[dict[str, frozenset[str]], set[str]]:
    """Returns which placeholders each operation needs, and which ones learn.

    A placeholder without axes is a setting, such as the one of dropout, and
    does not count.
    """
    data = {
        name: frozenset({name} if is_data(node) else ())
        for name, node in scope.nodes.items()
    }
    learned = {n for n, node in scope.nodes.items() if node.op in VARIABLE_OPS}
    order = in_order(scope)
    # Once is enough without loops; a loop inside a loop takes three times.
    for _ in range(4):
        before = (dict(data), len(learned))
        for name in order:
            sources = [
                operation(key)
                for key in scope.nodes[name].inputs
                if operation(key) in scope.nodes
            ]
            data[name] = data[name].union(*(data[one] for one in sources))
            if not learned.isdisjoint(sources):
                learned.add(name)
        if (data, len(learned)) == before:
            break
    return data, learned


def is_data(node: Node) -> bool:
    """Tells whether an operation is a placeholder with axes."""
    shape = node.proto.attr["shape"].shape
    return node.op in PLACEHOLDERS and bool(shape.dim)


def in_order(scope: Scope) -> list[str]:
    """Returns the operations, each after its inputs where there is no loop."""
    order: list[str] = []
    state: dict[str, bool] = {}
    for start in scope.nodes:
        stack = [start]
        while stack:
            name = stack[-1]
            if name not in state:
                state[name] = False
                stack += [
                    operation(key)
                    for key in scope.nodes[name].inputs
                    if operation(key) in scope.nodes
                    and operation(key) not in state
                ]
                continue
            stack.pop()
            if not state[name]:
                state[name] = True
                order.append(name)
    return order
