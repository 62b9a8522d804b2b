"""Traces the conditions of TensorFlow 1's first control flow."""

from collections.abc import Callable

import tensorflow as tf

from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.trace.tracer import Handler
from keras_port.tf1.graph.trace.tracer import Job
from keras_port.tf1.graph.trace.tracer import extend_environment
from keras_port.tf1.graph.trace.values import State
from keras_port.tf1.graph.trace.values import Value
from keras_port.tf1.graph.trace.values import VariableRef

Branch = Callable[[], list[tf.Tensor]]


def run_condition(job: Job) -> None:
    """Traces one condition, with all of its ends that are wanted."""
    env, scope = job.env, job.scope
    flow = job.tracer.get_control_flow(scope)
    ends = list(dict.fromkeys(operation_name(key) for key in job.unit.outputs))
    conditions = [flow.get_condition(scope.nodes[name]) for name in ends]
    predicate = job.get_tensor(job.unit.name)

    def make_branch(number: int) -> Branch:
        wanted = [scope.nodes[name].inputs[number] for name in ends]

        def run() -> list[tf.Tensor]:
            cuts = {
                key: pass_inside(job, key, outside)
                for one in conditions
                for key, outside in one.cuts[number].items()
            }
            inside = extend_environment(env, cuts)
            job.tracer.trace(scope, wanted, inside)
            return [job.tracer.get_tensor(key, inside) for key in wanted]

        return run

    results = choose(
        job.tracer.state,
        predicate,
        make_branch(1),
        make_branch(0),
        writes=job.writes,
    )
    for name, result in zip(ends, results, strict=True):
        env[f"^{name}"] = None
        env[f"{name}:0"] = result
        if f"{name}:1" in job.unit.outputs:
            env[f"{name}:1"] = tf.where(predicate, 1, 0)


def pass_inside(job: Job, key: str, outside: str) -> Value:
    """Returns the value that a `Switch` or an `Enter` passes inside.

    That is a variable itself only if the operation passes references.

    Args:
        job: The condition or loop.
        key: Key of the value inside.
        outside: Key of the value outside.
    """
    value = job.env[outside]
    if isinstance(value, VariableRef) and value.is_reference:
        is_passed = job.scope.node(key).op in ("RefSwitch", "RefEnter")
        return value if is_passed else job.get_tensor(outside)
    return value


def choose(
    state: State,
    predicate: tf.Tensor,
    if_true: Branch,
    if_false: Branch,
    *,
    writes: bool,
) -> list[tf.Tensor]:
    """Traces the branch that is certain to be taken, or both.

    Args:
        state: The values of the variables, which the branches may change.
        predicate: A scalar of type bool.
        if_true: Traces the branch and returns its results.
        if_false: The other branch.
        writes: Whether a branch may assign to variables.
    """
    known = tf.get_static_value(predicate)
    if known is not None:
        return (if_true if bool(known) else if_false)()

    def add_state(branch: Branch) -> Branch:
        def run() -> list[tf.Tensor]:
            before = dict(state.values)
            try:
                # Never empty: a condition may exist for its effect alone.
                results = [tf.constant(0), *map(tf.identity, branch())]
                return results + (state.get_mutable() if writes else [])
            finally:
                state.values = before

        return run

    results: list[tf.Tensor]
    _, *results = tf.cond(predicate, add_state(if_true), add_state(if_false))
    if writes:
        count = len(results) - len(state.mutable)
        state.set_mutable(results[count:])
        results = results[:count]
    return results


HANDLERS: dict[str, Handler] = {"condition": run_condition}
