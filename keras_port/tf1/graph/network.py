"""Traces a program once for training and once for prediction."""

from collections.abc import Sequence
import functools
from typing import Any

import tensorflow as tf

from keras_port.tf1._files import first_line
from keras_port.tf1.graph.probe import probed
from keras_port.tf1.graph.read import GRAPH_ERRORS
from keras_port.tf1.graph.read import FixedInput
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import function_scopes
from keras_port.tf1.graph.read import graph_scope
from keras_port.tf1.graph.read import operation
from keras_port.tf1.graph.select import as_tuple
from keras_port.tf1.graph.select import closure
from keras_port.tf1.graph.select import reached
from keras_port.tf1.graph.select import refusals
from keras_port.tf1.graph.select import variable_writes
from keras_port.tf1.graph.trace import Emitter
from keras_port.tf1.graph.trace import Environment
from keras_port.tf1.graph.trace import Handler
from keras_port.tf1.graph.trace import State
from keras_port.tf1.graph.trace import arrays
from keras_port.tf1.graph.trace import as_tensor
from keras_port.tf1.graph.trace import calls
from keras_port.tf1.graph.trace import conditions
from keras_port.tf1.graph.trace import loops
from keras_port.tf1.graph.trace import variables

HANDLERS: dict[str, Handler] = {
    **variables.HANDLERS,
    **arrays.HANDLERS,
    **calls.HANDLERS,
    "condition": conditions.run_condition,
    "loop": loops.run_loop,
}
# Outputs, losses, and the new values of variables, by name.
Results = tuple[list[tf.Tensor], list[tf.Tensor], dict[str, tf.Tensor]]


class Network:
    """A program as a function of its inputs and of its variables' values.

    Args:
        program: What it computes.

    Raises:
        ValueError: If the program holds what must not be run.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.scope = graph_scope(program.graph)
        self.functions = function_scopes(program.graph)
        self.check()
        self.writers = variable_writes.writers(self.functions)
        names = [one.identity for one in program.variables]
        assigned = variable_writes.Assigned(self.functions, names)
        assigned.search(self.scope)
        self.mutable = tuple(n for n in names if n in assigned.found)
        self.trainable = frozenset(
            one.identity for one in program.variables if one.trainable
        )

    def check(self) -> None:
        """Raises if anything in the program must not be run."""
        # A file can hold more than was written into it.
        program = self.program
        keys = [*program.outputs, *program.updates, *program.losses]
        given = [one.key for one in program.inputs]
        given += [one.key for one in program.constants]
        nodes = [
            self.scope.nodes[name] for name in closure(keys, self.scope, given)
        ]
        called = reached(nodes, self.functions)
        scopes = [
            (self.scope, nodes),
            *((one, list(one.nodes.values())) for one in called.values()),
        ]
        refusals.check(refusals.refusals(scopes, self.functions))

    @functools.cached_property
    def training(self) -> Any:
        """Returns the function of a training step."""
        return self.function(training=True)

    @functools.cached_property
    def inference(self) -> Any:
        """Returns the function of a prediction."""
        return self.function(training=False)

    def function(self, *, training: bool) -> Any:
        """Returns a function that is traced when it is first called."""

        def run(inputs: list[tf.Tensor], values: list[tf.Tensor]) -> Results:
            return self.trace(inputs, values, training=training)

        program = self.program
        return tf.function(
            run,
            input_signature=[
                [tf.TensorSpec(o.shape, o.dtype) for o in program.inputs],
                [tf.TensorSpec(o.shape, o.dtype) for o in program.variables],
            ],
            autograph=False,
        )

    def __call__(
        self,
        inputs: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        *,
        training: bool,
    ) -> Results:
        """Returns outputs, losses and new values."""
        function = self.training if training else self.inference
        results: Results = function(list(inputs), list(values))
        return results

    def trace(
        self,
        inputs: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        *,
        training: bool,
    ) -> Results:
        """Adds the operations of one call to the graph that is open."""
        program = self.program
        names = [one.identity for one in program.variables]
        state = State(
            dict(zip(names, values, strict=True)), self.mutable, self.trainable
        )
        emitter = Emitter(
            self.functions,
            program.graph.versions,
            state,
            HANDLERS,
            self.writers,
        )
        env: Environment = {}
        for fed, tensor in zip(program.inputs, inputs, strict=True):
            env[fed.key] = tensor
            env[f"^{operation(fed.key)}"] = None
        for feed in program.constants:
            env[feed.key] = fed_value(feed, training=training)
            env[f"^{operation(feed.key)}"] = None
        results = [
            as_tensor(value, state)
            for value in emitter.emit(
                self.scope, [*program.outputs, *program.losses], env
            )
        ]
        count = len(program.outputs)
        if not training:
            return results[:count], results[count:], {}
        emitter.emit(self.scope, program.updates, env)
        changed = {
            name: state.values[name]
            for name, value in zip(names, values, strict=True)
            if state.values[name] is not value
        }
        return results[:count], results[count:], changed

    def output_specs(
        self, values: Sequence[tf.Tensor]
    ) -> list[tuple[tuple[int | None, ...], str]]:
        """Returns the shapes and types of the outputs.

        Args:
            values: Values of the variables, to try what comes out where the
                graph does not tell.
        """
        function = self.inference.get_concrete_function()
        specs: list[tf.TensorSpec] = function.structured_outputs[0]
        types = [spec.dtype.name for spec in specs]
        shapes = [as_tuple(spec.shape) for spec in specs]
        known = [shape for shape in shapes if shape is not None]
        if len(known) < len(shapes):
            known = self.tried(values)
        return list(zip(known, types, strict=True))

    def tried(
        self, values: Sequence[tf.Tensor]
    ) -> list[tuple[int | None, ...]]:
        """Returns the shapes that come out for inputs of zeros."""
        inputs = self.program.inputs
        try:
            if any(one.shape is None for one in inputs):
                raise ValueError("an input does not tell how many axes it has")
            return probed(
                lambda zeros: self(zeros, values, training=False)[0], inputs
            )
        except GRAPH_ERRORS as error:
            raise ValueError(
                f"The graph does not tell how many axes "
                f"{self.program.outputs} have, which a functional model must "
                f"know, and it was not found by trying: {first_line(error)}. "
                "Call the layer in the `call` of a `keras.Model` of your own, "
                "and reshape its outputs there."
            ) from error


def fed_value(feed: FixedInput, *, training: bool) -> tf.Tensor:
    """Returns the value of a feed.

    In training it is a constant, which decides conditions at once. Otherwise
    it is what a session is fed: something that TensorFlow does not compute
    with beforehand. It then fuses the same operations as in the session, and
    the outputs are the same to the bit.
    """
    if training:
        return tf.constant(feed.training, feed.dtype)
    value = tf.constant(feed.inference, feed.dtype)
    return tf.compat.v1.placeholder_with_default(value, value.shape)
