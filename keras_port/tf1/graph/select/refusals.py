"""Says which operations are not run, and why, before anything runs."""

from collections.abc import Iterable
from collections.abc import Mapping
import functools
import re
from typing import Any
from typing import NamedTuple

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_registry

FED = "Give its output in `inputs` or `constants`, to feed what it would give"
# Types as regular expressions, and what they do.
KINDS = (
    (r".*PyFunc.*", "calls a Python function"),
    (
        r".*File.*|GenerateVocab.*|LoadAndRemap.*|.*Save.*|.*Restore.*|"
        r".*Checkpoint.*",
        "touches files",
    ),
    (r".*Summary.*|ImportEvent", "writes summaries"),
    (r"Debug.*", "sends values to a debugger"),
    (r"DecodeProto.*|EncodeProto.*", "may read a description from a file"),
    (r"_?(Host)?(Send|Recv)|Remote.*|Rpc.*|Collective.*", "talks to others"),
    (r".*Infeed.*|.*Outfeed.*|TPU.*|Nccl.*|.*Xla.*", "talks to a device"),
    (
        r".*Queue.*|.*Reader.*|.*Barrier.*|RecordInput|.*[Ss]tage.*|"
        r".*Iterator.*|.*Dataset.*",
        "reads input",
    ),
    (r".*Table.*", "looks up in a table, which no checkpoint holds"),
    (r"Stack.*|TensorArrayGrad.*", "belongs to a gradient of TensorFlow 1"),
    (r"(Resource)?(Sparse)?Apply.*", "trains a variable, which Keras does"),
    (r"SymbolicGradient|MapDefun|BatchFunction|For", "calls a function"),
    (r"TensorArray(V2)?|TensorArray.*(?<!V3)", "is of an early release"),
    (r"Ref(Merge|NextIteration|Select|Exit)", "moves a reference"),
    (r".*CountUpTo|.*TemporaryVariable", "changes a variable in a loop"),
)
EXEMPT = ("ShardedFilename", "ShardedFilespec")
# Operations with a state or an effect that are known to do no harm.
STATEFUL = re.compile(
    r"Assert|Case|CheckNumerics(V2)?|DeepCopy|GuaranteeConst|If|While|"
    r"StatefulPartitionedCall|Print(V2)?|[A-Za-z]+CandidateSampler|"
    r"Multinomial|(Parameterized)?TruncatedNormal|"
    r"Random(Crop|Gamma|Poisson|PoissonV2|Shuffle|StandardNormal|Uniform|"
    r"UniformInt)|SampleDistortedBoundingBox(V2)?|"
    r"TensorArray(Read|Write|Gather|Scatter|Concat|Split|Size|Close)?V3|"
    r"Variable(V2|Shape)?|VarHandleOp|VarIsInitializedOp|ReadVariableOp|"
    r"Assign(Add|Sub)?(VariableOp)?|"
    r"Resource(Gather(Nd)?|StridedSliceAssign|"
    r"Scatter(Nd)?(Update|Add|Sub|Mul|Div|Min|Max))"
)
# Where PrintV2 may write to; else it is a file.
STREAMS = (b"stderr", b"stdout", b"log(info)", b"log(warning)", b"log(error)")
CUSTOM = "_gradient_op_type"


class Refusal(NamedTuple):
    """An operation that cannot be run: its name, its type, and why."""

    name: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.op}): {self.reason}"


def refusals(
    scopes: Iterable[tuple[Scope, Iterable[Node]]], functions: Mapping[str, Any]
) -> list[Refusal]:
    """Returns what is refused among operations, in their order."""
    listed = [(scope, list(nodes)) for scope, nodes in scopes]
    types = {node.op for _, nodes in listed for node in nodes}
    described = operation_registry.describe(types - set(functions))
    found = []
    for scope, nodes in listed:
        for node in nodes:
            reason = why_not(node, described, functions)
            if reason:
                found.append(
                    Refusal(node.name, node.op, reason + scope.where())
                )
    return found


def why_not(
    node: Node, described: Mapping[str, Any], functions: Mapping[str, Any]
) -> str:
    """Returns why an operation is refused, or an empty string."""
    if node.op in functions:
        return ""
    if node.op in ("Placeholder", "PlaceholderV2"):
        return "is fed in each step. Give it in `inputs` or `constants`"
    if node.op not in described:
        return "is no operation of this TensorFlow"
    if node.op == "PrintV2":
        stream = node.proto.attr["output_stream"].s
        return "" if stream in (b"", *STREAMS) else "touches files"
    if STATEFUL.fullmatch(node.op) or node.op in EXEMPT:
        return ""
    kind = kind_of(node.op)
    if kind:
        return f"{kind}. {FED}"
    if described[node.op].is_stateful or node.op.startswith("_"):
        return f"keeps a state that is unknown here. {FED}"
    return ""


@functools.cache
def kind_of(op: str) -> str:
    """Returns what a type that is refused does, or an empty string."""
    for pattern, reason in KINDS:
        if re.fullmatch(pattern, op):
            return reason
    return ""


def check(found: Iterable[Refusal]) -> None:
    """Raises if there is anything that cannot be run."""
    listed = list(found)
    if not listed:
        return
    first = listed[0]
    more = f" ({len(listed) - 1} more like it)" if len(listed) > 1 else ""
    raise ValueError(
        f"The operation {first.name!r} of type {first.op} {first.reason}{more}."
    )


def custom_gradients(
    scopes: Iterable[tuple[Scope, Iterable[Node]]],
) -> list[Refusal]:
    """Returns the operations whose gradient was Python code."""
    return [
        Refusal(
            node.name,
            node.op,
            "has a gradient that was Python code, which no file holds. Use "
            "`trainable=False` to predict only" + scope.where(),
        )
        for scope, nodes in scopes
        for node in nodes
        # TensorFlow's own functions have a mark of this kind as well.
        if CUSTOM in node.proto.attr
        and b"PartitionedCall" not in node.proto.attr[CUSTOM].s
    ]
