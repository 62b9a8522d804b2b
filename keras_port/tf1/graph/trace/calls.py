"""Traces calls of functions, and the control flow that is made of them.

A function is traced into its caller. So its names cannot meet those of
another graph, and its gradient is that of its operations.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence

import tensorflow as tf

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation
from keras_port.tf1.graph.trace.conditions import choose
from keras_port.tf1.graph.trace.loops import repeat
from keras_port.tf1.graph.trace.tracer import Emitter
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.values import Value
from keras_port.tf1.graph.trace.values import as_tensor

Branch = Callable[[], list[tf.Tensor]]


def called(emitter: Emitter, node: Node, name: str) -> Scope:
    """Returns the function of a name."""
    if name not in emitter.functions:
        raise ValueError(
            f"The operation {node.name!r} calls the function {name!r}, which "
            "the graph does not hold."
        )
    return emitter.functions[name]


def attribute(job: Job, name: str) -> Scope:
    """Returns the function that an attribute of an operation names."""
    function = job.node.proto.attr[name].func.name
    return called(job.emitter, job.node, function)


def call(
    emitter: Emitter,
    function: Scope,
    arguments: Sequence[Value],
    wanted: Iterable[int],
) -> list[Value]:
    """Traces a function's operations; returns its results.

    Args:
        emitter: Traces them.
        function: The function.
        arguments: Its arguments.
        wanted: Numbers of the results that are wanted.
    """
    if len(arguments) != len(function.arguments):
        raise ValueError(
            f"The function {function.name!r} takes {len(function.arguments)} "
            f"arguments. Received: {len(arguments)}"
        )
    env = dict(zip(function.arguments, arguments, strict=True))
    keys = [function.results[number] for number in wanted]
    effects = [f"^{name}" for name in function.controls]
    return emitter.emit(function, [*keys, *effects], env)[: len(keys)]


def call_for_tensors(
    emitter: Emitter,
    function: Scope,
    arguments: Sequence[Value],
    wanted: Iterable[int],
) -> list[tf.Tensor]:
    """Traces a function's operations; returns its results as tensors."""
    results = call(emitter, function, arguments, wanted)
    return [as_tensor(value, emitter.state) for value in results]


def run_call(job: Job) -> None:
    """Traces a call."""
    function = job.emitter.functions.get(job.node.op) or attribute(job, "f")
    wanted = job.wanted()
    results = call(job.emitter, function, job.values(), wanted)
    for number, result in zip(wanted, results, strict=True):
        job.give(result, number)


def run_if(job: Job) -> None:
    """Traces a condition with two functions."""
    branches = attribute(job, "else_branch"), attribute(job, "then_branch")
    choose_function(job, branches, as_bool(job.tensors()[0]))


def run_case(job: Job) -> None:
    """Traces a choice between several functions."""
    names = [one.name for one in job.node.proto.attr["branches"].list.func]
    functions = [called(job.emitter, job.node, name) for name in names]
    choose_function(job, functions, job.tensors()[0])


def choose_function(
    job: Job, functions: Sequence[Scope], index: tf.Tensor
) -> None:
    """Traces a choice between functions by a number, or by True or False."""
    _, *arguments = job.values()
    # A gradient of TensorFlow 1 has added results that nobody wants here.
    wanted = job.wanted()

    def this(number: int) -> Branch:
        return lambda: call_for_tensors(
            job.emitter, functions[number], arguments, wanted
        )

    def from_branch(first: int) -> list[tf.Tensor]:
        # A number that is none of a branch's means the last one.
        if first == len(functions) - 1:
            return this(first)()
        return choose(
            job.emitter.state,
            tf.equal(index, first),
            this(first),
            lambda: from_branch(first + 1),
            writes=job.writes,
        )

    if index.dtype == tf.bool:
        results = choose(
            job.emitter.state, index, this(1), this(0), writes=job.writes
        )
    else:
        results = from_branch(0)
    for number, result in zip(wanted, results, strict=True):
        job.give(result, number)


def as_bool(value: tf.Tensor) -> tf.Tensor:
    """Returns what TensorFlow takes a value for in a condition."""
    if value.dtype == tf.bool:
        return value
    if value.dtype == tf.string:
        return tf.strings.length(value) > 0
    return value != tf.zeros([], value.dtype)


def run_while(job: Job) -> None:
    """Traces a loop with two functions."""
    given = job.values()
    test, body = attribute(job, "cond"), attribute(job, "body")
    moving = [
        number
        for number in carried(job.wanted(), test, body)
        if isinstance(given[number], tf.Tensor)
    ]

    def arguments(values: Sequence[tf.Tensor]) -> list[Value]:
        merged = list(given)
        for number, value in zip(moving, values, strict=True):
            merged[number] = value
        return merged

    def test_once(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        found = call_for_tensors(job.emitter, test, arguments(values), [0])
        return [as_bool(found[0])]

    def body_once(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return call_for_tensors(job.emitter, body, arguments(values), moving)

    results = repeat(
        job.emitter.state,
        test_once,
        body_once,
        [given[number] for number in moving],
        parallel=max(
            1, int(job.node.proto.attr["parallel_iterations"].i or 10)
        ),
        writes=job.writes,
    )
    for number, result in zip(moving, results, strict=True):
        given[number] = result
    for number in job.wanted():
        job.give(given[number], number)


def carried(wanted: Iterable[int], test: Scope, body: Scope) -> list[int]:
    """Returns the numbers of the values that matter to those wanted.

    A gradient of TensorFlow 1 has added others to the loop, for its own use.
    """
    effects = [f"^{name}" for one in (test, body) for name in one.controls]
    found = set(wanted) | arguments_of(test, [*test.results, *effects])
    found |= arguments_of(body, effects)
    before: set[int] = set()
    while found != before:
        before = set(found)
        keys = [body.results[number] for number in before]
        found |= arguments_of(body, keys)
    return sorted(found)


def arguments_of(function: Scope, keys: Sequence[str]) -> set[int]:
    """Returns the numbers of the arguments that some keys depend on."""
    numbers = {key: n for n, key in enumerate(function.arguments)}
    found, seen, stack = set(), set(), list(keys)
    while stack:
        key = stack.pop()
        if key in numbers:
            found.add(numbers[key])
        elif operation(key) in function.nodes and operation(key) not in seen:
            seen.add(operation(key))
            node = function.nodes[operation(key)]
            stack += [*node.inputs, *(f"^{name}" for name in node.controls)]
    return found


HANDLERS: dict[str, Handler] = {
    "PartitionedCall": run_call,
    "StatefulPartitionedCall": run_call,
    "If": run_if,
    "StatelessIf": run_if,
    "Case": run_case,
    "StatelessCase": run_case,
    "While": run_while,
    "StatelessWhile": run_while,
}
