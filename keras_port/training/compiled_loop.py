"""Runs the next `steps_per_execution` steps of `fit` as one XLA program."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_port.training.label_form import choose_metrics
from keras_port.training.step_loop import Logs
from keras_port.training.step_loop import Step
from keras_port.training.step_loop import drop_optionals
from keras_port.training.step_loop import trace


def make_compiled_loop(
    model: keras.Model,
    step: Step,
    check_inputs: Callable[[Any], list[tf.Operation]],
    is_endless: Callable[[], bool],
) -> Callable[[Any], Logs]:
    """Returns a function that runs `steps_per_execution` steps in one program.

    Keras compiles a single step and calls it for every batch. The step of a
    small model takes less time than the call. Here XLA compiles the loop, too:
    a call reads its batches, stacks them and runs one program over the stack.

    Args:
        model: A model whose logs are its metrics.
        step: Runs one step on a batch, and updates the metrics.
        check_inputs: Returns operations that fail for invalid inputs. They run
            before the program, because XLA drops them. Called with the first
            example of every batch, as one batch.
        is_endless: Tells before a call whether the batches cannot end.

    Returns:
        A function that takes an iterator of batches and returns the metrics'
        running values. Without a batch it raises `StopIteration`, which ends
        the epoch in `fit`.
    """

    # XLA compiles it once for every shape of a stack, whatever the count.
    @tf.function(jit_compile=True, reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def run_program(batches: Any, count: tf.Tensor) -> None:
        def one_more(done: tf.Tensor) -> tuple[tf.Tensor]:
            step(map_parts(lambda rows: rows[done], batches))
            return (done + 1,)

        tf.while_loop(
            lambda done: done < count,
            one_more,
            [tf.constant(0)],
            parallel_iterations=1,
        )

    def run(stack: Stack) -> None:
        inputs, *_ = keras.utils.unpack_x_y_sample_weight(stack.batches)
        checks = check_inputs(map_parts(take_first_examples, inputs))
        with tf.control_dependencies(checks):
            run_program(stack.batches, stack.count)

    def one_step(batch: Any) -> Logs:
        run(stack_one(drop_optionals(batch)))
        logs: Logs = model.get_metrics_result()
        return logs

    def endless_steps(iterator: tf.data.Iterator) -> tuple[tf.Tensor, Logs]:
        stack = stack_endless_batches(iterator, model.steps_per_execution)
        run(stack)
        return stack.count, model.get_metrics_result()

    def steps(iterator: tf.data.Iterator) -> tuple[tf.Tensor, Logs]:
        check_dense(iterator.element_spec)
        limit = model.steps_per_execution

        def run_one_shape(
            done: tf.Tensor, first: tf.experimental.Optional
        ) -> tuple[tf.Tensor, tf.experimental.Optional]:
            stack, other = stack_batches(
                iterator, first, rows=limit, most=limit - done
            )
            run(stack)
            return done + stack.count, other

        done, _ = tf.while_loop(
            lambda done, batch: (done < limit) & batch.has_value(),
            run_one_shape,
            [tf.constant(0), iterator.get_next_as_optional()],
            parallel_iterations=1,
        )
        return done, model.get_metrics_result()

    one_step, steps = trace(one_step), trace(steps)
    endless_steps = trace(endless_steps)

    def function(iterator: Any) -> Logs:
        if not isinstance(iterator, tf.data.Iterator):
            # The single batch of `train_on_batch`.
            return one_step(next(iterator))
        choose_metrics(model, iterator.element_spec)
        run_steps = endless_steps if is_endless() else steps
        done, logs = run_steps(iterator)
        if not int(done):
            raise StopIteration
        return logs

    return function


class Stack(NamedTuple):
    """Batches in one tensor for every part, and how many of them count.

    Args:
        batches: Nested tensors of shape (rows, batch, ...).
        count: Rows to use, a scalar of int32. Further rows are copies.
    """

    batches: Any
    count: tf.Tensor


def stack_one(batch: Any) -> Stack:
    """Returns a stack of a single batch."""
    rows = map_parts(lambda part: tf.expand_dims(part, 0), batch)
    return Stack(rows, tf.constant(1))


def take_first_examples(rows: tf.Tensor) -> tf.Tensor:
    """Returns the first example of every batch of a stack.

    Args:
        rows: Shape (rows, batch, ...). Numbers of shape (rows,), which are no
            examples, stay as they are.
    """
    if rows.shape.rank == 1:
        return rows
    # Of empty batches it is empty.
    shape = tf.concat([[-1], tf.shape(rows)[2:]], 0)
    return tf.reshape(rows[:, :1], shape)


def check_dense(element_spec: Any) -> None:
    """Raises `ValueError` for batches that XLA cannot take."""
    for spec in tf.nest.flatten(element_spec):
        if not isinstance(spec, tf.TensorSpec | tf.OptionalSpec):
            raise ValueError(
                "`jit_compile=True` needs batches of dense tensors. Received: "
                f"{type(spec).__name__}. Convert them by `tf.sparse.to_dense` "
                "or `to_tensor`, or compile the model with `jit_compile=False`."
            )


def stack_endless_batches(iterator: tf.data.Iterator, limit: int) -> Stack:
    """Reads and stacks batches of one known shape that never end.

    Args:
        iterator: The batches.
        limit: The number of batches to read.
    """
    specs = tf.nest.flatten(iterator.element_spec)
    [resource] = tf.nest.flatten(iterator, expand_composites=True)
    arrays = [
        tf.TensorArray(spec.dtype, size=limit, element_shape=spec.shape)
        for spec in specs
    ]

    def add(count: tf.Tensor, arrays: Any) -> Any:
        # `get_next` reads in another thread, and changing to it and back takes
        # as long as a step of the perceptron. This reads in the same thread,
        # but at the end of the data, what was read before is lost.
        parts = tf.raw_ops.IteratorGetNextSync(
            iterator=resource,
            output_types=[spec.dtype for spec in specs],
            output_shapes=[spec.shape for spec in specs],
        )
        return count + 1, [
            array.write(count, part)
            for array, part in zip(arrays, parts, strict=True)
        ]

    _, arrays = tf.while_loop(
        lambda count, _: count < limit,
        add,
        [tf.constant(0), arrays],
        parallel_iterations=1,
    )
    batches = tf.nest.pack_sequence_as(
        iterator.element_spec, [array.stack() for array in arrays]
    )
    return Stack(batches, tf.constant(limit))


def stack_batches(
    iterator: tf.data.Iterator,
    first: tf.experimental.Optional,
    *,
    rows: int,
    most: tf.Tensor,
) -> tuple[Stack, tf.experimental.Optional]:
    """Reads batches of one shape, and stacks them.

    Args:
        iterator: The batches.
        first: The first of them, which has been read.
        rows: Rows of the stack. There are as many whatever the count, so that
            XLA compiles once.
        most: The largest number of batches, at most `rows`.

    Returns:
        The stack. If there are fewer than `most`, also what was read after
        them: a batch of another shape, or nothing.
    """
    example = drop_optionals(first.get_value())
    parts = list_parts(example)
    shapes = [tf.shape(part) for part in parts]
    is_static = all(part.shape.is_fully_defined() for part in parts)
    arrays = [
        tf.TensorArray(part.dtype, size=rows, element_shape=part.shape)
        for part in parts
    ]

    def has_shape(batch: tf.experimental.Optional) -> tf.Tensor:
        others = list_parts(drop_optionals(batch.get_value()))
        return tf.reduce_all(
            [
                tf.reduce_all(tf.shape(other) == shape)
                for other, shape in zip(others, shapes, strict=True)
            ]
        )

    def goes_on(
        count: tf.Tensor, _: Any, batch: tf.experimental.Optional
    ) -> tf.Tensor:
        fits = batch.has_value()
        if not is_static:
            fits = tf.cond(fits, lambda: has_shape(batch), lambda: False)
        return (count < most) & fits

    def add(
        count: tf.Tensor, arrays: Any, batch: tf.experimental.Optional
    ) -> Any:
        found = list_parts(drop_optionals(batch.get_value()))
        arrays = [
            array.write(count, part)
            for array, part in zip(arrays, found, strict=True)
        ]
        count += 1
        # A batch that is read but not used would be lost.
        batch = tf.cond(
            count < most, iterator.get_next_as_optional, lambda: batch
        )
        return count, arrays, batch

    count, arrays, other = tf.while_loop(
        goes_on, add, [tf.constant(0), arrays, first], parallel_iterations=1
    )
    used = tf.minimum(tf.range(rows), count - 1)
    stacked = iter([array.gather(used) for array in arrays])
    return Stack(map_parts(lambda _: next(stacked), example), count), other


def list_parts(batch: Any) -> list[tf.Tensor]:
    """Returns the tensors of a batch, without parts that are absent."""
    return [part for part in tf.nest.flatten(batch) if part is not None]


def map_parts(function: Callable[[tf.Tensor], Any], batch: Any) -> Any:
    """Applies a function to every tensor of a batch; absent parts stay."""
    return tf.nest.map_structure(
        lambda part: None if part is None else function(part), batch
    )
