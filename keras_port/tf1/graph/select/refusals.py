"""Refuses operations that must not or cannot run, before anything runs."""

from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import re
from typing import NamedTuple

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.select.subgraph import Part

GIVE = "Give it in `inputs` or `constants`"
GIVE_OUTPUT = "Give the value of its output in `inputs` or `constants`"
PREDICT_ONLY = "Use `trainable=False` to predict only"
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
    (
        r"_?(Host)?(Send|Recv)|Remote.*|Rpc.*|Collective.*",
        "communicates with other processes",
    ),
    (
        r".*Infeed.*|.*Outfeed.*|TPU.*|Nccl.*|.*Xla.*",
        "needs a particular device",
    ),
    (
        r".*Queue.*|.*Reader.*|.*Barrier.*|RecordInput|.*[Ss]tage.*|"
        r".*Iterator.*|.*Dataset.*",
        "reads input",
    ),
    (r".*Table.*", "looks values up in a table, which is in no checkpoint"),
    (r"Stack.*|TensorArrayGrad.*", "belongs to a gradient of TensorFlow 1"),
    (
        r"(Resource)?(Sparse)?Apply.*",
        "trains a variable, which the Keras optimizer does",
    ),
    (
        r"SymbolicGradient|MapDefun|BatchFunction|For",
        "calls a function in a way that is not supported",
    ),
    (r"TensorArray(V2)?|TensorArray.*(?<!V3)", "predates TensorFlow 1.0"),
    (
        r"Ref(Merge|NextIteration|Select|Exit)",
        "passes a reference to a variable on",
    ),
    (r".*CountUpTo|.*TemporaryVariable", "changes a variable in a loop"),
)
EXEMPT = ("ShardedFilename", "ShardedFilespec")
# Operations with a state or an effect that are known to be harmless.
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
# Where `PrintV2` may write to; any other name is a file.
STREAMS = (b"stderr", b"stdout", b"log(info)", b"log(warning)", b"log(error)")
CUSTOM_GRADIENT = "_gradient_op_type"


class Refusal(NamedTuple):
    """An operation that a layer does not run.

    Args:
        name: Name of the operation.
        op: Its type.
        reason: Why it is refused, and in which function it is.
        fix: What the user can do.
    """

    name: str
    op: str
    reason: str
    fix: str

    def __str__(self) -> str:
        fix = f". {self.fix}." if self.fix else "."
        return f"{self.name} ({self.op}): {self.reason}{fix}"


def find_refusals(
    parts: Sequence[Part], functions: Container[str]
) -> list[Refusal]:
    """Returns the operations that are refused, in their order.

    Args:
        parts: The operations.
        functions: Names of the graph's functions.
    """
    types = {
        node.op
        for _, nodes in parts
        for node in nodes
        if node.op not in functions
    }
    descriptions = operations.describe_operations(types)
    found = []
    for scope, nodes in parts:
        for node in nodes:
            if node.op in functions:
                continue
            refused = explain_refusal(node, descriptions)
            if refused is not None:
                reason, fix = refused
                found.append(
                    Refusal(node.name, node.op, reason + scope.where(), fix)
                )
    return found


def explain_refusal(
    node: Node, descriptions: Mapping[str, protos.OpDef]
) -> tuple[str, str] | None:
    """Returns why an operation is refused and what helps, or `None`."""
    if node.op in operations.PLACEHOLDERS:
        return "needs a value in every step", GIVE
    if node.op not in descriptions:
        return "is not an operation of this TensorFlow", ""
    if node.op == "PrintV2":
        stream = node.proto.attr["output_stream"].s
        return None if stream in (b"", *STREAMS) else ("touches files", "")
    if STATEFUL.fullmatch(node.op) or node.op in EXEMPT:
        return None
    kind = classify(node.op)
    if kind:
        return kind, GIVE_OUTPUT
    if descriptions[node.op].is_stateful or node.op.startswith("_"):
        return "keeps a state that `GraphLayer` does not know", GIVE_OUTPUT
    return None


@functools.cache
def classify(op: str) -> str:
    """Returns what a refused type does, or an empty string."""
    for pattern, reason in KINDS:
        if re.fullmatch(pattern, op):
            return reason
    return ""


def find_custom_gradients(parts: Iterable[Part]) -> list[Refusal]:
    """Returns the operations whose gradient was Python code."""
    return [
        Refusal(
            node.name,
            node.op,
            "has a gradient that was Python code, which no file contains"
            + scope.where(),
            PREDICT_ONLY,
        )
        for scope, nodes in parts
        for node in nodes
        # TensorFlow's own functions have such an attribute too.
        if CUSTOM_GRADIENT in node.proto.attr
        and b"PartitionedCall" not in node.proto.attr[CUSTOM_GRADIENT].s
    ]


def raise_if_refused(refusals: Sequence[Refusal]) -> None:
    """Raises an error that names the first of the refused operations."""
    if not refusals:
        return
    first = refusals[0]
    count = len(refusals) - 1
    more = f" ({count} more are refused)" if count else ""
    fix = f" {first.fix}." if first.fix else ""
    raise ValueError(
        f"The operation {first.name!r} of type {first.op} {first.reason}{more}."
        f"{fix}"
    )
