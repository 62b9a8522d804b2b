"""Runs the next `steps_per_execution` steps of `fit` as one XLA program."""

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_port.datasets import MakeStacks
from keras_port.training.label_form import choose_metrics
from keras_port.training.step_loop import Logs
from keras_port.training.step_loop import Step
from keras_port.training.step_loop import drop_optionals
from keras_port.training.step_loop import trace


class CompiledLoop:
    """Runs `steps_per_execution` steps in one program.

    Keras compiles a single step and calls it for every batch. The step of a
    small model takes less time than the call. Here XLA compiles the loop, too:
    a call runs one program over a stack of its batches. It reads the batches
    and stacks them, or a `StackReader` reads the stack as a whole.

    Args:
        model: A model whose logs are its metrics.
        step: Runs one step on a batch, and updates the metrics.
        check_inputs: Returns operations that fail for invalid inputs. They run
            before the program, because XLA drops them. Called with the first
            example of every batch, as one batch.
        get_reader: Returns what reads the batches of this `fit` as stacks, or
            `None` if they are read one by one.
    """

    def __init__(
        self,
        model: keras.Model,
        step: Step,
        check_inputs: Callable[[Any], list[tf.Operation]],
        get_reader: Callable[[], "StackReader | None"],
    ) -> None:
        self._model = model
        self._step = step
        self._check_inputs = check_inputs
        self._get_reader = get_reader
        # Keras counts as many in every call, whatever the model says later.
        self._steps = model.steps_per_execution
        self._traced_batch = trace(self._train_on_batch)
        self._traced_batches = trace(self._train_on_batches)
        self._traced_stack = trace(self._train_on_next_stack)
        # XLA compiles it once for every shape of a stack, whatever the count.
        self._program = tf.function(
            self._run_steps,
            jit_compile=True,
            reduce_retracing=True,
            autograph=False,
        )

    def __call__(self, iterator: Any) -> Logs:
        """Runs the next steps.

        Args:
            iterator: The batches.

        Returns:
            The metrics' running values.

        Raises:
            StopIteration: If there is no batch, which ends the epoch in `fit`.
        """
        logs: Logs
        if not isinstance(iterator, tf.data.Iterator):
            # The single batch of `train_on_batch`.
            logs = self._traced_batch(next(iterator))
            return logs
        choose_metrics(self._model, iterator.element_spec)
        reader = self._get_reader()
        if reader is not None:
            stacks = reader.advance(iterator, self._steps)
            logs = self._traced_stack(stacks)
            return logs
        done, logs = self._traced_batches(iterator)
        if not int(done):
            raise StopIteration
        return logs

    def _train_on_batch(self, batch: Any) -> Logs:
        self._train_on_stack(stack_one(drop_optionals(batch)))
        logs: Logs = self._model.get_metrics_result()
        return logs

    def _train_on_next_stack(self, stacks: tf.data.Iterator) -> Logs:
        batches = stacks.get_next()
        rows = tf.shape(tf.nest.flatten(batches)[0])[0]
        self._train_on_stack(Stack(batches, rows))
        logs: Logs = self._model.get_metrics_result()
        return logs

    def _train_on_batches(
        self, iterator: tf.data.Iterator
    ) -> tuple[tf.Tensor, Logs]:
        check_dense(iterator.element_spec)
        limit = self._steps

        def run_one_shape(
            done: tf.Tensor, first: tf.experimental.Optional
        ) -> tuple[tf.Tensor, tf.experimental.Optional]:
            stack, other = stack_batches(
                iterator, first, rows=limit, most=limit - done
            )
            self._train_on_stack(stack)
            return done + stack.count, other

        done, _ = tf.while_loop(
            lambda done, batch: (done < limit) & batch.has_value(),
            run_one_shape,
            [tf.constant(0), iterator.get_next_as_optional()],
            parallel_iterations=1,
        )
        return done, self._model.get_metrics_result()

    def _train_on_stack(self, stack: "Stack") -> None:
        """Checks the inputs of a stack, and runs the program over it."""
        inputs, *_ = keras.utils.unpack_x_y_sample_weight(stack.batches)
        checks = self._check_inputs(map_parts(take_first_examples, inputs))
        with tf.control_dependencies(checks):
            self._program(stack.batches, stack.count)

    def _run_steps(self, batches: Any, count: tf.Tensor) -> None:
        """The steps of the program."""

        def one_more(done: tf.Tensor) -> tuple[tf.Tensor]:
            self._step(map_parts(lambda rows: rows[done], batches))
            return (done + 1,)

        tf.while_loop(
            lambda done: done < count,
            one_more,
            [tf.constant(0)],
            parallel_iterations=1,
        )


class StackReader:
    """Reads the batches of a `fit` as stacks, and not from Keras' iterator.

    It lasts as long as the `fit`, so that the batches go on when a callback
    wraps the training function, or makes a new one. A function that reads
    Keras' iterator itself, after calls that did not, would begin at its first
    batch, so `hand_over` comes before it.

    Args:
        make_stacks: Makes stacks of the batches, as in `OwnBatches`.
    """

    def __init__(self, make_stacks: MakeStacks) -> None:
        self._make_stacks = make_stacks
        self._iterator: tf.data.Iterator | None = None
        self._stacks: tf.data.Iterator | None = None
        self._rows = 0
        # Of the next batch in Keras' iterator, before `hand_over`.
        self._dropped = 0
        # Of the next stack's first batch.
        self._position = 0

    def drop(self, count: int) -> None:
        """Leaves out batches that were read from Keras' iterator."""
        self._dropped += count
        self._position += count
        self._stacks = None

    def advance(
        self, iterator: tf.data.Iterator, rows: int
    ) -> tf.data.Iterator:
        """Returns an iterator whose next element is the next stack.

        The caller must read it.

        Args:
            iterator: Keras' iterator of the same batches, for `hand_over`.
            rows: Batches in the stack.
        """
        self._iterator = iterator
        if self._stacks is None or rows != self._rows:
            self._stacks = iter(self._make_stacks(self._position, rows))
            self._rows = rows
        self._position += rows
        return self._stacks

    def hand_over(self) -> None:
        """Reads from Keras' iterator what was read as stacks.

        Its next batch is then the next of the training.
        """
        if self._iterator is not None:
            for _ in range(self._position - self._dropped):
                next(self._iterator)


def drop_batches(model: keras.Model, iterator: Any, count: int) -> None:
    """Reads batches of a `fit` that are not trained on.

    Args:
        model: The model in training.
        iterator: Keras' iterator of the batches.
        count: Number of batches.
    """
    for _ in range(count):
        next(iterator)
    reader: StackReader | None = getattr(model, "_stack_reader", None)
    if reader is not None:
        reader.drop(count)


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
