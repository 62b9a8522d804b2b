"""Traces the loops of TensorFlow 1's first control flow."""

from collections.abc import Callable
from collections.abc import Sequence

import tensorflow as tf

from keras_port.tf1.graph.control_flow import LoopVariable
from keras_port.tf1.graph.trace.conditions import pass_inside
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.tracer import extend_environment
from keras_port.tf1.graph.trace.values import State
from keras_port.tf1.graph.trace.values import Value

Step = Callable[[Sequence[tf.Tensor]], list[tf.Tensor]]


def run_loop(job: Job) -> None:
    """Traces one loop."""
    flow = job.tracer.get_control_flow(job.scope)
    loop = flow.loops.get(job.unit.name)
    fixed: dict[str, Value] = {
        key: pass_inside(job, key, outside)
        for key, outside in loop.constants.items()
    }
    moving, values = [], []
    for variable in loop.variables:
        enter = variable.enter
        value = pass_inside(job, f"{enter.name}:0", enter.inputs[0])
        if isinstance(value, tf.Tensor):
            moving.append(variable)
            values.append(value)
        else:
            # A variable itself is the same in every round.
            fixed |= place_inside(variable, value)
            set_exits(job, variable, value)

    def make_step(wanted: Sequence[str]) -> Step:
        def run(given: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            own = dict(fixed)
            for variable, value in zip(moving, given, strict=True):
                own |= place_inside(variable, value)
            inside = extend_environment(job.env, own)
            job.tracer.trace(job.scope, wanted, inside)
            return [job.tracer.get_tensor(key, inside) for key in wanted]

        return run

    results = repeat(
        job.tracer.state,
        make_step([loop.condition]),
        make_step([variable.update for variable in moving]),
        values,
        parallel=loop.parallel,
        writes=job.writes,
    )
    for variable, result in zip(moving, results, strict=True):
        set_exits(job, variable, result)


def place_inside(variable: LoopVariable, value: Value) -> dict[str, Value]:
    """Returns a value by the keys that it has inside the loop."""
    found = {f"{variable.merge.name}:0": value}
    if variable.switch is not None:
        found[f"{variable.switch.name}:1"] = value
    return found


def set_exits(job: Job, variable: LoopVariable, value: Value) -> None:
    """Sets the value with which a loop ends."""
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
    """Traces a loop over values, and over the variables if it assigns them.

    The shape of a value may change from round to round. The graph does not
    say which shapes do, so the loop is traced with those of the start first,
    and if that fails with more general ones.

    Args:
        state: The values of the variables, which the loop may change.
        test: Traces whether the loop continues.
        body: Traces one round.
        values: The values at the start.
        parallel: Number of rounds that may run at the same time.
        writes: Whether the loop may assign to variables.
    """
    count = len(values)
    start = [*values, *(state.get_mutable() if writes else [])]
    before = dict(state.values)

    def run(
        step: Step, given: Sequence[tf.Tensor], *, keeps: bool
    ) -> list[tf.Tensor]:
        try:
            if writes:
                state.set_mutable(list(given[count:]))
            results = step(given[:count])
            return results + (state.get_mutable() if keeps else [])
        finally:
            state.values = dict(before)

    def test_once(*given: tf.Tensor) -> tf.Tensor:
        return run(test, given, keeps=False)[0]

    def run_once(*given: tf.Tensor) -> list[tf.Tensor]:
        return run(body, given, keeps=writes)

    errors: list[ValueError] = []
    for invariants in list_invariants(start):
        try:
            results = tf.while_loop(
                test_once,
                run_once,
                start,
                shape_invariants=invariants,
                parallel_iterations=parallel,
            )
        except ValueError as error:
            errors.append(error)
            continue
        if writes:
            state.set_mutable(list(results[count:]))
        return list(results[:count])
    raise errors[-1]


def list_invariants(values: Sequence[tf.Tensor]) -> list[list[tf.TensorShape]]:
    """Returns shapes that may hold in every round, the strictest first."""
    exact = [value.shape for value in values]
    loose = [
        tf.TensorShape(None if one.rank is None else [None] * one.rank)
        for one in exact
    ]
    return [exact, loose, [tf.TensorShape(None) for _ in exact]]


HANDLERS: dict[str, Handler] = {"loop": run_loop}
