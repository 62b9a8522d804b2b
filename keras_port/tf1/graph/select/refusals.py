"""Refuses operations that must not or cannot run, before anything runs."""

from collections.abc import Container
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import re
from typing import NamedTuple

import tensorflow as tf

from keras_port._support import show_name
from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.select.gate import CUSTOM_GRADIENT
from keras_port.tf1.graph.select.let_in import LET_IN
from keras_port.tf1.graph.select.let_in import LIST_SIZES
from keras_port.tf1.graph.select.let_in import MAX_LIST_SIZE
from keras_port.tf1.graph.select.let_in import explain_attributes
from keras_port.tf1.graph.select.subgraph import Part

GIVE = "Give it in `inputs` or `constants`"
GIVE_OUTPUT = "Give the value of its output in `inputs` or `constants`"
# Names of further operations in one message.
MAX_SHOWN = 3
PREDICT_ONLY = "Use `trainable=False` to predict only"
LOAD_LIBRARY = (
    "If you have its library, call `tf.load_op_library(path)` first; otherwise "
    "give the value of its output in `inputs` or `constants`"
)
# The operations of tables that `trace` knows. TensorFlow never sees them.
TABLES = (*operations.TABLE_INITIALIZERS, *operations.LOOKUPS)
STATE = "keeps a state that `GraphLayer` does not know"
# What is refused, as regular expressions of types, and what it does. A type
# that is neither here nor let in was judged by nobody, and is refused too.
KINDS = (
    (r".*PyFunc.*", "calls a Python function"),
    (
        r".*File.*|GenerateVocab.*|LoadAndRemap.*|.*Save.*|.*Restore.*|"
        r".*Checkpoint.*|ImmutableConst|DumpTensor",
        "touches files",
    ),
    (r".*Summary.*|ImportEvent", "writes summaries"),
    (r"Debug.*|Copy(Host)?|CustomAggregator", "sends values to a debugger"),
    (r"DecodeProto.*|EncodeProto.*", "may read a description from a file"),
    (
        r"Decode(Compressed|JXL|Jxl|WebP)|ParseTensor|Deserialize(Many)?Sparse",
        "unpacks bytes that may claim any size",
    ),
    (
        r"_?(Host)?(Send|Recv)|Remote.*|.*Rpc.*|Collective.*|AllToAll|"
        r"CrossReplicaSum|DTensor.*|Relayout.*|CopyToMesh.*|WorkerHeartbeat|"
        r"GetDeadline",
        "communicates with other processes",
    ),
    (
        r".*Infeed.*|.*Outfeed.*|.*T[Pp][Uu].*|Nccl.*|.*Xla.*|.*SparseCore.*|"
        r"Cudnn.*|Prelinearize.*|.*Minibatch.*|.*DedupData.*|Device(Index|"
        r"PlacementOp)|SyncDevice|ConvertToCooTensor|GlobalIterId|"
        r"UpdateTaskIdAndGlobalCoreArray|CheckPinned|MakeUnique|"
        r"TopK(With)?Unique|StochasticCastToInt|ApproxTopK|HostConst|"
        r"KthOrderStatistic|QuantizedConcatV2|"
        r"Quantized(Conv2D[A-Z].*|DepthwiseConv2D.*|MatMul[A-Z].*)",
        "needs a particular device",
    ),
    (
        r".*Queue.*|.*Reader.*|.*Barrier.*|RecordInput|.*[Ss]tage.*|"
        r".*Iterator.*|.*Dataset.*|WindowOp|GetOptions|"
        r"GetElementAtIndex|(Unc|C)ompressElement|Batch|Unbatch(Grad)?|"
        r"ComputeBatchSize|.*MemoryCache|.*ThreadPoolHandle|"
        r".*StatsAggregator.*|(Ordered)?Map(Clear|IncompleteSize|Peek|Size)",
        "reads input",
    ),
    (
        r"TFLite_.*|UnidirectionalSequence(Lstm|Rnn)",
        "is for LiteRT alone",
    ),
    (r".*Table.*", "looks values up in a table, which is in no checkpoint"),
    (r"Stack.*|TensorArrayGrad.*", "belongs to a gradient of TensorFlow 1"),
    (
        r"(Resource)?(Sparse)?Apply.*|Sdca.*|.*BoostedTrees.*|"
        r"(KMC2Chain|KmeansPlusPlus)Initialization|NegTrain|Skipgram",
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
    (r"Abort|Sleep(Identity)?Op", "ends the process, or waits"),
    (
        r".*Accumulator.*|.*TensorsMap|Anonymous.*|Delete.*|Dummy.*|"
        r"DestroyResourceOp|DisableCopyOnRead|GetSession.*|Empty|Inplace.*|"
        r".*Mutex.*|MakeWeakResourceHandle|IsResourceHandleRefCounting|"
        r"NonDeterministicInts|Rng.*|Stateful(Random|Uniform|Standard|"
        r"Truncated).*|StatelessRandomGetAlg|Timestamp",
        STATE,
    ),
    (r"_.*", "belongs to TensorFlow itself, and to no model"),
    (
        r"Attr.*|ConstructionFails|.*(Float|Int|Int64|String|Polymorphic)"
        r"(Input|Output|In|Out)s?|Foo\d|Func(List)?Attr|.*Polymorphic.*|"
        r"(Two)?(Float|Int|Ref)s?(Input|Output|In|Out)s?.*|N(Ints)?(In|Out).*|"
        r"(Int|StringList|Reserved|Test)Attr|KernelLabel.*|List(In|Out)put|"
        r"(Mixed|Complex|Simple)Struct|A|B|Binary|CopyOp|None|Old|OutT.*|"
        r"OpWith.*|DefaultAttrs|DtypeWithDefaultOp|RequiresOlderGraphVersion|"
        r"ReservedInput|Resource(CreateOp|InitializedOp|UsingOp)|Restrict|"
        r"Simple|StubResourceHandleOp|TypeList.*|Unary|GraphDefVersion|"
        r"InPolymorphicTwice|Namespace>TestStringOutput",
        "belongs to the tests of TensorFlow itself",
    ),
    (
        r"Risc.*|MlirPassthroughOp|CompositeTensorVariant.*|TensorMap.*|"
        r"EmptyTensorMap|.*CSRSparse.*|SparseMatrix.*|Uniform(Dequantize|"
        r"Quantize.*|Requantize)|I?R?FFTND|AudioMicrofrontend|SobolSample|"
        r"IsotonicRegression|Fact|IsTensorFloat32Enabled",
        "is not one that models of TensorFlow 1 use",
    ),
)


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
        name, op = show_name(self.name), show_name(self.op)
        return f"{name} ({op}): {self.reason}{fix}"


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
            refused = explain_lookup(node, scope) or explain_refusal(
                node, descriptions
            )
            if refused is None and (problem := explain_size(node, scope)):
                refused = problem, GIVE_OUTPUT
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
        return "is not an operation of this TensorFlow", LOAD_LIBRARY
    if node.op in LET_IN or node.op in TABLES:
        problem = explain_attributes(node.proto)
        return (problem, GIVE_OUTPUT) if problem else None
    return classify(node.op) or "is not known to `GraphLayer`", GIVE_OUTPUT


def explain_lookup(node: Node, scope: Scope) -> tuple[str, str] | None:
    """Returns why a table cannot be looked up in, or `None`."""
    if node.op not in operations.LOOKUPS or not node.inputs:
        return None
    table = scope.nodes.get(operation_name(node.inputs[0]))
    if table is not None and table.op in operations.TABLE_INITIALIZERS:
        return None
    return (
        "looks up in a table that the graph does not fill, so that its content "
        "is in no checkpoint",
        GIVE_OUTPUT,
    )


def explain_size(node: Node, scope: Scope) -> str:
    """Returns what is wrong with the length of a list, or an empty string.

    Only a length that is a constant is known here.
    """
    number = LIST_SIZES.get(node.op)
    if number is None or number >= len(node.inputs):
        return ""
    source = scope.nodes.get(operation_name(node.inputs[number]))
    if source is None or source.op != "Const":
        return ""
    tensor = source.proto.attr["value"].tensor
    if tensor.tensor_shape.dim:
        return ""
    size = int(tf.make_ndarray(tensor))
    if size > MAX_LIST_SIZE:
        return f"makes a list of {size:,} elements, more than {MAX_LIST_SIZE:,}"
    return ""


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
    more = list_others(refusals[1:])
    fix = f" {first.fix}." if first.fix else ""
    raise ValueError(
        f"The operation {first.name!r} of type "
        f"{show_name(first.op)} {first.reason}{more}."
        f"{fix}"
    )


def list_others(refusals: Sequence[Refusal]) -> str:
    """Returns the names of further refused operations, for a message."""
    if not refusals:
        return ""
    names = ", ".join(repr(one.name) for one in refusals[:MAX_SHOWN])
    count = len(refusals) - MAX_SHOWN
    return f" (also refused: {names}{f' and {count} more' * (count > 0)})"
