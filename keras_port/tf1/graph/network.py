"""Runs a program, traced once for training and once for inference."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from keras_port.tf1.graph.batches import are_rows_independent
from keras_port.tf1.graph.batches import check_rows
from keras_port.tf1.graph.batches import find_batch_size
from keras_port.tf1.graph.batches import pad_rows
from keras_port.tf1.graph.batches import run_in_parts
from keras_port.tf1.graph.bind import bind_inputs
from keras_port.tf1.graph.read import GRAPH_ERRORS
from keras_port.tf1.graph.read import FixedInput
from keras_port.tf1.graph.read import GraphInput
from keras_port.tf1.graph.read import Program
from keras_port.tf1.graph.read import function_scopes
from keras_port.tf1.graph.read import graph_scope
from keras_port.tf1.graph.read import operation_name
from keras_port.tf1.graph.select import AssignedVariables
from keras_port.tf1.graph.select import find_needed
from keras_port.tf1.graph.select import find_parts
from keras_port.tf1.graph.select import find_refusals
from keras_port.tf1.graph.select import find_writers
from keras_port.tf1.graph.select import raise_if_refused
from keras_port.tf1.graph.select import shape_as_tuple
from keras_port.tf1.graph.trace import HANDLERS
from keras_port.tf1.graph.trace import Environment
from keras_port.tf1.graph.trace import State
from keras_port.tf1.graph.trace import Tracer
from keras_port.tf1.graph.trace import as_tensor

# What replaces an unknown size in the first trial and in the second.
TRIAL_SIZES = (2, 3)
Shape = tuple[int | None, ...]


class OutputSpec(NamedTuple):
    """What an output is.

    Args:
        shape: Its shape, `None` if not even the number of axes is known.
        dtype: Name of its type.
    """

    shape: Shape | None
    dtype: str

    def open_first_axis(self) -> "OutputSpec":
        """Returns the same output with any number of rows."""
        return self._replace(shape=(None, *(self.shape or ())[1:]))


class Results(NamedTuple):
    """What one run of a program returns.

    Args:
        outputs: The outputs.
        losses: The losses.
        changed: The new values of variables, by identity.
    """

    outputs: list[tf.Tensor]
    losses: list[tf.Tensor]
    changed: dict[str, tf.Tensor]


class Network:
    """Runs a program on inputs and on the values of its variables.

    Args:
        program: The program.

    Attributes:
        program: The program, with its batch size after `build`.
        output_specs: What the outputs are, known after `build`.

    Raises:
        ValueError: If the program holds an operation that must not run.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.output_specs: list[OutputSpec] = []
        self._scope = graph_scope(program.graph)
        self._functions = function_scopes(program.graph)
        self._check_operations()
        self._writers = find_writers(self._functions)
        names = [one.identity for one in program.variables]
        assigned = AssignedVariables(self._functions, names)
        assigned.search(self._scope)
        self._mutable = tuple(n for n in names if n in assigned.found)
        self._trainable = frozenset(
            one.identity for one in program.variables if one.trainable
        )

    def _check_operations(self) -> None:
        """Raises an error if an operation of the program must not run."""
        # A model file may have been changed after it was saved.
        program = self.program
        names = find_needed(
            [*program.outputs, *program.updates, *program.losses],
            self._scope,
            [
                *(one.key for one in program.inputs),
                *(one.key for one in program.constants),
            ],
        )
        parts = find_parts(names, self._scope, self._functions)
        raise_if_refused(find_refusals(parts, self._functions))

    def __call__(
        self, given: Any, values: Sequence[tf.Tensor], training: Any
    ) -> Results:
        """Runs the program.

        Args:
            given: The inputs: a tensor, a list of them, or a dictionary by
                names.
            values: The values of the variables.
            training: A bool or `None`, or a tensor, which decides when the
                program runs.
        """
        inputs = bind_inputs(given, self.inputs)
        known = (
            tf.get_static_value(training)
            if tf.is_tensor(training)
            else bool(training)
        )
        if known is not None:
            return self._run(inputs, values, training=bool(known))
        names = [one.identity for one in self.program.variables]
        unchanged = dict(zip(names, values, strict=True))

        def train() -> Results:
            results = self._run(inputs, values, training=True)
            return results._replace(changed=unchanged | results.changed)

        def infer() -> Results:
            results = self._run(inputs, values, training=False)
            return results._replace(changed=unchanged)

        results: Results = tf.cond(tf.cast(training, tf.bool), train, infer)
        return results._replace(
            changed={name: results.changed[name] for name in self._mutable}
        )

    def _run(
        self,
        inputs: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        *,
        training: bool,
    ) -> Results:
        """Runs the function of a training step or that of inference."""
        size = self.program.batch_size
        function = self._training if training else self._inference
        if training and size is not None:
            inputs = check_rows(inputs, size)
        if training or size is None:
            results: Results = function(list(inputs), list(values))
            return results

        def run(part: list[tf.Tensor]) -> list[tf.Tensor]:
            outputs: list[tf.Tensor] = function(part, list(values)).outputs
            return outputs

        outputs = run_in_parts(run, inputs, size, self._inference_specs)
        if not self.program.losses:
            return Results(outputs, [], {})
        # The losses are those of the variables, the same for all rows.
        first = [pad_rows(one, size) for one in inputs]
        results = function(first, list(values))
        return Results(outputs, results.losses, {})

    @functools.cached_property
    def _inference_specs(self) -> list[tf.TensorSpec]:
        """What one run of inference returns."""
        function = self._inference.get_concrete_function()
        return [
            tf.TensorSpec(one.shape, one.dtype)
            for one in function.structured_outputs[0]
        ]

    @functools.cached_property
    def _training(self) -> tf.types.experimental.PolymorphicFunction:
        """The function of a training step."""
        return self._make_function(training=True)

    @functools.cached_property
    def _inference(self) -> tf.types.experimental.PolymorphicFunction:
        """The function of inference."""
        return self._make_function(training=False)

    def _make_function(
        self, *, training: bool
    ) -> tf.types.experimental.PolymorphicFunction:
        """Returns a function that is traced when it is first called."""

        def run(inputs: list[tf.Tensor], values: list[tf.Tensor]) -> Results:
            return self._trace(inputs, values, training=training)

        program = self.program
        if any(one.shape is None for one in program.inputs):
            # Traced for every shape, so that those of the outputs are known.
            return tf.function(run, autograph=False)
        return tf.function(
            run,
            input_signature=[
                [tf.TensorSpec(o.shape, o.dtype) for o in program.inputs],
                [tf.TensorSpec(o.shape, o.dtype) for o in program.variables],
            ],
            autograph=False,
        )

    def _trace(
        self,
        inputs: Sequence[tf.Tensor],
        values: Sequence[tf.Tensor],
        *,
        training: bool,
    ) -> Results:
        """Adds the operations of one run to the graph that is open."""
        program = self.program
        names = [one.identity for one in program.variables]
        state = State(
            dict(zip(names, values, strict=True)),
            self._mutable,
            self._trainable,
        )
        tracer = Tracer(
            self._functions,
            program.graph.versions,
            state,
            HANDLERS,
            self._writers,
        )
        env: Environment = {}
        for one, tensor in zip(program.inputs, inputs, strict=True):
            env[one.key] = tensor
        for constant in program.constants:
            env[constant.key] = make_tensor(constant, training=training)
        env.update({f"^{operation_name(key)}": None for key in list(env)})
        wanted = [*program.outputs, *program.losses]
        results = [
            as_tensor(value, state, key)
            for key, value in zip(
                wanted, tracer.trace(self._scope, wanted, env), strict=True
            )
        ]
        count = len(program.outputs)
        changed = {}
        if training:
            tracer.trace(self._scope, program.updates, env)
            changed = {
                name: state.values[name]
                for name, value in zip(names, values, strict=True)
                if state.values[name] is not value
            }
        return Results(results[:count], results[count:], changed)

    def build(self, values: Sequence[tf.Tensor], *, is_loaded: bool) -> None:
        """Traces the program, and finds what its outputs are.

        Args:
            values: The values of the variables.
            is_loaded: Whether the program was loaded, with its batch size. The
                values are not there yet then.
        """
        specs = self.find_output_specs(values)
        if not is_loaded:
            size = self.find_batch_size(specs, values)
            self.program = dataclasses.replace(self.program, batch_size=size)
        if self.program.batch_size is not None:
            specs = [one.open_first_axis() for one in specs]
        self.output_specs = specs

    @property
    def inputs(self) -> Sequence[GraphInput]:
        """The inputs, with any number of rows if that is possible."""
        if self.program.batch_size is None:
            return self.program.inputs
        return [one.open_first_axis() for one in self.program.inputs]

    def find_output_specs(
        self, values: Sequence[tf.Tensor]
    ) -> list[OutputSpec]:
        """Returns the shapes and types of the outputs.

        Args:
            values: The values of the variables, to try the program with if the
                graph does not tell the shapes.
        """
        shapes = [one.shape for one in self.program.inputs]
        if None in shapes:
            return self.infer_output_specs(shapes)
        specs = [
            OutputSpec(shape_as_tuple(one.shape), one.dtype.name)
            for one in self._inference_specs
        ]
        if any(one.shape is None for one in specs):
            tried = self._try_shapes(values)
            specs = [
                one._replace(shape=shape) if one.shape is None else one
                for one, shape in zip(specs, tried, strict=True)
            ]
        return specs

    def find_batch_size(
        self, specs: Sequence[OutputSpec], values: Sequence[tf.Tensor]
    ) -> int | None:
        """Returns the batch size that is in the shapes of the graph, if any.

        `None` also stands for a graph whose rows depend on each other.

        Args:
            specs: What the outputs are.
            values: The values of the variables.
        """
        inputs = self.program.inputs
        shapes = [one.shape for one in inputs]
        size = find_batch_size([*shapes, *(one.shape for one in specs)])
        if size is None or any(one.sparse for one in inputs):
            return None

        def run(given: list[tf.Tensor]) -> list[tf.Tensor]:
            return self._run(given, values, training=False).outputs

        known = [shape for shape in shapes if shape is not None]
        try:
            with tf.init_scope():
                is_known = are_rows_independent(
                    run, known, [one.dtype for one in inputs]
                )
        except GRAPH_ERRORS:
            return None
        return size if is_known else None

    def infer_output_specs(
        self, shapes: Sequence[Shape | None]
    ) -> list[OutputSpec]:
        """Returns the shapes and types of the outputs, for shapes of inputs."""
        program = self.program
        with tf.Graph().as_default():
            inputs = [
                tf.compat.v1.placeholder(one.dtype, shape)
                for one, shape in zip(program.inputs, shapes, strict=True)
            ]
            values = [
                tf.compat.v1.placeholder(one.dtype, one.shape)
                for one in program.variables
            ]
            outputs = self._trace(inputs, values, training=False).outputs
        return [
            OutputSpec(shape_as_tuple(one.shape), one.dtype.name)
            for one in outputs
        ]

    def _try_shapes(self, values: Sequence[tf.Tensor]) -> list[Shape | None]:
        """Returns the shapes of the outputs for inputs of zeros.

        A size that differs between two trials is `None`, and so is a shape if
        the program does not run on zeros.
        """
        try:
            trials = []
            # Runs now, even while a graph is being built.
            with tf.init_scope():
                for size in TRIAL_SIZES:
                    zeros = make_zeros(self.program.inputs, size)
                    outputs = self._run(zeros, values, training=False).outputs
                    trials.append([tuple(one.shape) for one in outputs])
        except GRAPH_ERRORS:
            return [None] * len(self.program.outputs)
        return [
            tuple(a if a == b else None for a, b in zip(*pair, strict=True))
            for pair in zip(*trials, strict=True)
        ]


def make_tensor(constant: FixedInput, *, training: bool) -> tf.Tensor:
    """Returns the value of a constant.

    In training it is a constant, which decides conditions when they are
    traced. In inference it is what a session is fed with, which TensorFlow
    does not compute with beforehand. So TensorFlow fuses the same operations
    as in the session, and the outputs are bit-equal.
    """
    if training:
        return tf.constant(constant.training, constant.dtype)
    value = tf.constant(constant.inference, constant.dtype)
    return tf.compat.v1.placeholder_with_default(value, value.shape)


def make_zeros(inputs: Sequence[GraphInput], size: int) -> list[tf.Tensor]:
    """Returns zeros for inputs, of one size where a size is unknown."""
    return [
        tf.zeros([n or size for n in one.shape or ()], one.dtype)
        for one in inputs
    ]
