"""Traces the loops of TensorFlow 1's first control flow."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_port.tf1.graph.control_flow import LoopVariable
from keras_port.tf1.graph.trace.conditions import let_through
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.tracer import inner
from keras_port.tf1.graph.trace.values import Environment
from keras_port.tf1.graph.trace.values import State
from keras_port.tf1.graph.trace.values import Value

Step = Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]


def run_loop(job: Job) -> None:
    """Traces one loop."""
    loop = job.emitter.flow(job.scope).loop(job.unit.name)
    same: dict[str, Value] = {
        key: let_through(job, key, outside)
        for key, outside in loop.constants.items()
    }
    moving, values = [], []
    for variable in loop.variables:
        enter = variable.enter
        value = let_through(job, f"{enter.name}:0", enter.inputs[0])
        if isinstance(value, tf.Tensor):
            moving.append(variable)
            values.append(value)
        else:
            # A variable itself is the same in each round.
            same |= places(variable, value)
            give(job, variable, value)

    def step(wanted: Sequence[str]) -> Step:
        def run(given: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            own = dict(same)
            for variable, value in zip(moving, given, strict=True):
                own |= places(variable, value)
            inside: Environment = inner(job.env, own)
            job.emitter.emit(job.scope, wanted, inside)
            return [job.emitter.tensor(key, inside) for key in wanted]

        return run

    results = repeat(
        job.emitter.state,
        step([loop.condition]),
        step([variable.update for variable in moving]),
        values,
        parallel=loop.parallel,
        writes=job.writes,
    )
    for variable, result in zip(moving, results, strict=True):
        give(job, variable, result)


def places(variable: LoopVariable, value: Value) -> dict[str, Value]:
    """Returns where a carried value is found within the loop."""
    found = {f"{variable.merge.name}:0": value}
    if variable.switch is not None:
        found[f"{variable.switch.name}:1"] = value
    return found


def give(job: Job, variable: LoopVariable, value: Value) -> None:
    """Gives the value that a loop ends with."""
    for name in variable.exits:
        job.env[f"{name}:0"] = value
        job.env[f"^{name}"] = None


def repeat(
    state: State,
    test: Step,
    body: Step,
    values: Sequence[tf.Tensor],
    *,
    parallel: int,
    writes: bool,
) -> list[tf.Tensor]:
    """Traces a loop over values, and over the variables if it assigns.

    The shape of a value may change from round to round. Which ones do is not
    in the graph, so that of the start is tried first, then less of it.
    """
    count = len(values)
    start = [*values, *(state.current() if writes else [])]
    before = dict(state.values)

    def with_state(function: Step, *, keeps: bool) -> Callable[..., Any]:
        def run(*given: tf.Tensor) -> Any:
            try:
                if writes:
                    state.set_current(list(given[count:]))
                results = function(given[:count])
                return results + (state.current() if keeps else [])
            finally:
                state.values = dict(before)

        return run

    def test_once(*given: tf.Tensor) -> tf.Tensor:
        return with_state(test, keeps=False)(*given)[0]

    errors: list[ValueError] = []
    for invariants in shape_choices(start):
        try:
            results = tf.while_loop(
                test_once,
                with_state(body, keeps=writes),
                start,
                shape_invariants=invariants,
                parallel_iterations=parallel,
            )
        except ValueError as error:
            errors.append(error)
            continue
        if writes:
            state.set_current(list(results[count:]))
        return list(results[:count])
    raise errors[-1]


def shape_choices(values: Sequence[tf.Tensor]) -> list[list[tf.TensorShape]]:
    """Returns the shapes that may hold in each round, the strictest first."""
    exact = [value.shape for value in values]
    loose = [
        tf.TensorShape(None if one.rank is None else [None] * one.rank)
        for one in exact
    ]
    return [exact, loose, [tf.TensorShape(None) for _ in exact]]
