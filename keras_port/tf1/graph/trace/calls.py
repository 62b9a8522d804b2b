"""Traces function calls, and the control flow that is made of functions.

A function is traced into its caller. So its name cannot clash with one of
another graph, and its gradient is that of its operations.
"""

from collections.abc import Iterable
from collections.abc import Sequence

import tensorflow as tf

from keras_port.tf1.graph.read import Node
from keras_port.tf1.graph.read import Scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.trace.conditions import Branch
from keras_port.tf1.graph.trace.conditions import choose
from keras_port.tf1.graph.trace.loops import repeat
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.tracer import Tracer
from keras_port.tf1.graph.trace.values import Value
from keras_port.tf1.graph.trace.values import as_tensor


def find_function(tracer: Tracer, node: Node, name: str) -> Scope:
    """Returns the function with a name."""
    if name not in tracer.functions:
        raise ValueError(
            f"The graph is broken: the operation {node.name!r} calls the "
            f"function {name!r}, which is missing."
        )
    return tracer.functions[name]


def get_function(job: Job, attribute: str) -> Scope:
    """Returns the function that an attribute of an operation names."""
    name = job.node.proto.attr[attribute].func.name
    return find_function(job.tracer, job.node, name)


def call(
    tracer: Tracer,
    function: Scope,
    arguments: Sequence[Value],
    wanted: Iterable[int],
) -> list[Value]:
    """Traces the operations of a function, and returns its results.

    Args:
        tracer: The tracer.
        function: The function.
        arguments: Its arguments.
        wanted: Numbers of the results to return.
    """
    if len(arguments) != len(function.arguments):
        raise ValueError(
            "The graph is broken: the function "
            f"{function.name!r} takes {len(function.arguments)} arguments. "
            f"Received: {len(arguments)}."
        )
    env = dict(zip(function.arguments, arguments, strict=True))
    keys = [function.results[number] for number in wanted]
    effects = [f"^{name}" for name in function.controls]
    return tracer.trace(function, [*keys, *effects], env)[: len(keys)]


def call_for_tensors(
    tracer: Tracer,
    function: Scope,
    arguments: Sequence[Value],
    wanted: Sequence[int],
) -> list[tf.Tensor]:
    """Traces the operations of a function; returns its results as tensors."""
    results = call(tracer, function, arguments, wanted)
    return [
        as_tensor(value, tracer.state, function.results[number])
        for number, value in zip(wanted, results, strict=True)
    ]


def run_call(job: Job) -> None:
    """Traces a call."""
    function = job.tracer.functions.get(job.node.op) or get_function(job, "f")
    wanted = job.get_wanted()
    results = call(job.tracer, function, job.get_values(), wanted)
    for number, result in zip(wanted, results, strict=True):
        job.set_output(result, number)


def run_if(job: Job) -> None:
    """Traces a condition between two functions."""
    branches = (
        get_function(job, "else_branch"),
        get_function(job, "then_branch"),
    )
    choose_function(job, branches, as_bool(job.get_tensors()[0]))


def run_case(job: Job) -> None:
    """Traces a choice between several functions."""
    names = [one.name for one in job.node.proto.attr["branches"].list.func]
    functions = [find_function(job.tracer, job.node, name) for name in names]
    choose_function(job, functions, job.get_tensors()[0])


def choose_function(
    job: Job, functions: Sequence[Scope], index: tf.Tensor
) -> None:
    """Traces a choice between functions by an integer or a bool."""
    _, *arguments = job.get_values()
    # A gradient of TensorFlow 1 has added results that are not needed here.
    wanted = job.get_wanted()

    def make_branch(number: int) -> Branch:
        return lambda: call_for_tensors(
            job.tracer, functions[number], arguments, wanted
        )

    def choose_from(first: int) -> list[tf.Tensor]:
        # An index out of range means the last function.
        if first == len(functions) - 1:
            return make_branch(first)()
        return choose(
            job.tracer.state,
            tf.equal(index, first),
            make_branch(first),
            lambda: choose_from(first + 1),
            writes=job.writes,
        )

    if index.dtype == tf.bool:
        results = choose(
            job.tracer.state,
            index,
            make_branch(1),
            make_branch(0),
            writes=job.writes,
        )
    else:
        results = choose_from(0)
    for number, result in zip(wanted, results, strict=True):
        job.set_output(result, number)


def as_bool(value: tf.Tensor) -> tf.Tensor:
    """Returns whether TensorFlow takes a value as true in a condition."""
    if value.dtype == tf.bool:
        return value
    if value.dtype == tf.string:
        return tf.strings.length(value) > 0
    return value != tf.zeros([], value.dtype)


def run_while(job: Job) -> None:
    """Traces a loop of two functions."""
    given = job.get_values()
    test, body = get_function(job, "cond"), get_function(job, "body")
    moving = [
        number
        for number in find_carried(job.get_wanted(), test, body)
        if isinstance(given[number], tf.Tensor)
    ]

    def merge(values: Sequence[tf.Tensor]) -> list[Value]:
        merged = list(given)
        for number, value in zip(moving, values, strict=True):
            merged[number] = value
        return merged

    def test_once(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        found = call_for_tensors(job.tracer, test, merge(values), [0])
        return [as_bool(found[0])]

    def run_once(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        return call_for_tensors(job.tracer, body, merge(values), moving)

    results = repeat(
        job.tracer.state,
        test_once,
        run_once,
        [given[number] for number in moving],
        parallel=max(
            1, int(job.node.proto.attr["parallel_iterations"].i or 10)
        ),
        writes=job.writes,
    )
    for number, result in zip(moving, results, strict=True):
        given[number] = result
    for number in job.get_wanted():
        job.set_output(given[number], number)


def find_carried(wanted: Iterable[int], test: Scope, body: Scope) -> list[int]:
    """Returns the numbers of the values that the wanted ones depend on.

    A gradient of TensorFlow 1 has added others to the loop for itself.
    """
    effects = [f"^{name}" for one in (test, body) for name in one.controls]
    found = set(wanted) | find_arguments(test, [*test.results, *effects])
    found |= find_arguments(body, effects)
    before: set[int] = set()
    while found != before:
        before = set(found)
        keys = [body.results[number] for number in before]
        found |= find_arguments(body, keys)
    return sorted(found)


def find_arguments(function: Scope, keys: Sequence[str]) -> set[int]:
    """Returns the numbers of the arguments that some keys depend on."""
    numbers = {key: n for n, key in enumerate(function.arguments)}
    found, seen, stack = set(), set(), list(keys)
    while stack:
        key = stack.pop()
        name = operation_name(key)
        if key in numbers:
            found.add(numbers[key])
        elif name in function.nodes and name not in seen:
            seen.add(name)
            node = function.nodes[name]
            stack += [*node.inputs, *(f"^{one}" for one in node.controls)]
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
